import BGPCore
import BGPWire
import CLinux
import EventLoop
import Glibc
import NetTypes

// Listening sockets: who may connect, and with which key.

extension Speaker {
  func adopt(listener: Int32) {
    TCPSocket.prepareListener(listener)
    let flags = nl_get_flags(listener)
    _ = nl_set_flags(listener, flags | O_NONBLOCK)
    do throws(SystemError) {
      try loop.register(listener, .read) { [weak self] _ in self?.acceptAll(listener) }
      listeners.append(listener)
    } catch {
      _ = Glibc.close(listener)
      onEvent?(SpeakerEvent(kind: .error, session: "", neighbor: "", text: "\(error)"))
    }
  }

  func closeListeners() {
    for listener in listeners {
      loop.unregister(listener)
      _ = Glibc.close(listener)
    }
    listeners = []
  }

  /// Opens what the configuration asks for, where no sockets were passed in. A machine without one of the families
  /// listens on the other.
  func openListeners(_ configuration: SpeakerConfiguration) throws(SpeakerError) {
    guard configuration.opensListener, listeners.isEmpty else { return }
    let port = configuration.listenPort == 0 ? Self.port : configuration.listenPort
    let isAny = configuration.listenAddresses.isEmpty
    let addresses =
      isAny ? [.v4(IPv4Address(rawValue: 0)), .v6(IPv6Address(high: 0, low: 0))] : configuration.listenAddresses
    var opened: [Int32] = []
    for address in addresses {
      do throws(SystemError) {
        opened.append(try TCPSocket.listen(address, port: port).release())
      } catch  where isAny && error.code == EAFNOSUPPORT {
        continue
      } catch {
        for listener in opened { _ = Glibc.close(listener) }
        throw SpeakerError(offender: "listener", reason: "\(error)")
      }
    }
    for listener in opened { adopt(listener: listener) }
  }

  // MARK: Keys (RFC 2385)

  /// Tells the kernel which neighbors sign their segments, before their first SYN comes.
  func setKeys(_ configuration: SpeakerConfiguration) throws(SpeakerError) {
    let old = Self.keys(self.configuration?.neighbors ?? [])
    let new = Self.keys(configuration.neighbors)
    for (address, neighbor) in new where old[address]?.transport.md5Key != neighbor.transport.md5Key {
      do throws(SystemError) {
        try setKey(neighbor.transport.md5Key, neighbor)
      } catch {
        for (address, neighbor) in new { try? setKey(old[address]?.transport.md5Key, neighbor) }
        throw SpeakerError(offender: "neighbor \(neighbor.peer.name)", reason: "\(error)")
      }
    }
    for (address, neighbor) in old where new[address] == nil { try? setKey(nil, neighbor) }
  }

  private static func keys(_ neighbors: [NeighborConfiguration]) -> [IPAddress: NeighborConfiguration] {
    Dictionary(
      neighbors.filter { $0.transport.md5Key != nil }.map { ($0.peer.address, $0) },
      uniquingKeysWith: { first, _ in first })
  }

  private func setKey(_ key: String?, _ neighbor: NeighborConfiguration) throws(SystemError) {
    let address = neighbor.peer.address
    let scope = address.isLinkLocal ? neighbor.transport.interface.map { if_nametoindex($0) } ?? 0 : 0
    for listener in listeners where Int(nl_tcp_family(listener)) == address.bytes.count {
      try TCPSocket.setKey(key, for: address, scope: scope, on: listener)
    }
  }

  // MARK: Accepting

  private func acceptAll(_ listener: Int32) {
    do throws(SystemError) {
      for _ in 0..<64 {
        guard let accepted = try TCPSocket.accept(listener) else { return }
        let local = TCPSocket.local(accepted.socket.rawValue)
        if let neighbor = neighbor(for: accepted.remote.address, accepted.scope, local: local?.address) {
          neighbor.accept(accepted.socket)
        } else {
          _ = nl_tcp_abort(accepted.socket.release())  // refused: it is nobody we know
        }
      }
    } catch {
      onEvent?(SpeakerEvent(kind: .error, session: "", neighbor: "", text: "\(error)"))
      loop.rest(listener)
    }
  }

  /// The session that a connection belongs to. Several sessions with one address differ in their local address or, for
  /// link-local addresses, in their interface.
  private func neighbor(for remote: IPAddress, _ scope: UInt32, local: IPAddress?) -> Neighbor? {
    let matching = sorted.filter { neighbor in
      let transport = neighbor.configuration.transport
      return neighbor.configuration.peer.address == remote
        && (scope == 0 || neighbor.scope == 0 || neighbor.scope == scope)
        && (transport.localAddress == nil || transport.localAddress == local)
    }
    return matching.first { $0.configuration.transport.localAddress != nil } ?? matching.first
  }
}
