// Two ends and a relay in this process, each in a namespace of its own:
//
//   a ══ veth ══ far a │ PacketRelay │ far b ══ veth ══ b
//
// Frames are sent and read by plain packet sockets of the test, without the relay's options.
import CLinux
import EventLoop
import Glibc
import NetTypes
import Netlink
import Testing

@testable import Relay

final class RelayBench {
  let a: Namespace
  let b: Namespace
  let far: Namespace
  let loop: EventLoop
  let relay: PacketRelay
  private let farSocket: NetlinkSocket

  /// Indexes: of the nodes' own ends 2, of the far ones 12 and 13. (Equal ones at both ends of a pair, and the kernel takes
  /// its time over the carrier.)
  init(aToB: LinkDelay, bToA: LinkDelay = LinkDelay(microseconds: 0), limit: Int = PacketRelay.defaultLimit) throws {
    let made = try Namespace.create(count: 3)
    let far = made[2]
    (a, b, self.far) = (made[0], made[1], far)
    try Sysctl.write(
      ["all", "default"].map { Sysctl.Setting("net.ipv6.conf.\($0).disable_ipv6", "1") }, in: far)
    for (index, namespace) in [(12, a), (13, b)] as [(UInt32, Namespace)] {
      // The ends are silent too: what is counted is what the test sends.
      try Sysctl.write(
        ["all", "default"].map { Sysctl.Setting("net.ipv6.conf.\($0).disable_ipv6", "1") }, in: namespace)
      let (near, other) = (try #require(InterfaceName("eth1")), try #require(InterfaceName("far\(index)")))
      try NetlinkSocket(in: namespace).commit {
        $0.addVethPair(
          VethEnd(near, index: 2), VethEnd(other, in: far, index: InterfaceIndex(rawValue: index)))
        $0.setLink(2, up: true)
      }
    }
    farSocket = try NetlinkSocket(in: far)
    try farSocket.commit { for index in [12, 13] as [InterfaceIndex] { $0.setLink(index, up: true) } }
    let loop = try EventLoop()
    let relay = try PacketRelay(loop)
    (self.loop, self.relay) = (loop, relay)
    let link = RelayedLink(id: 0, a: 12, b: 13, aToB: aToB, bToA: bToA, nameOfA: "a:eth1", nameOfB: "b:eth1")
    try inNamespace(far.fileDescriptor) { () throws(SystemError) in try relay.add(link, limit: limit) }
    try awaitCarrier()
  }

  var aToB: Direction { relay.directions[0] }
  var bToA: Direction { relay.directions[1] }

  func setFar(_ index: InterfaceIndex, up: Bool) throws {
    try farSocket.commit { $0.setLink(index, up: up) }
    if up { try awaitCarrier() }
  }

  /// An interface sends only once the kernel has taken note of its carrier, in a worker of its own or, where it is a newer
  /// one, when it is asked (rtnl_getlink). Until then its first frames are lost.
  private func awaitCarrier() throws {
    let limit = EventLoop.clock() + 10_000_000_000
    repeat {
      try #require(EventLoop.clock() < limit, "no carrier")
      for (namespace, index) in [(a, 2), (b, 2), (far, 12), (far, 13)] as [(Namespace, InterfaceIndex)] {
        _ = try NetlinkSocket(in: namespace).link(index)
      }
    } while try ![a, b, far].allSatisfy(Self.allRun)
  }

  private static func allRun(_ namespace: Namespace) throws -> Bool {
    try inNamespace(namespace.fileDescriptor) { () throws(SystemError) in
      var list: UnsafeMutablePointer<ifaddrs>?
      try systemCall("getifaddrs") { getifaddrs(&list) }
      defer { freeifaddrs(list) }
      let running = UInt32(IFF_RUNNING)
      var entry = list
      while let here = entry {
        if String(cString: here.pointee.ifa_name) != "lo", here.pointee.ifa_flags & running == 0 { return false }
        entry = here.pointee.ifa_next
      }
      return true
    }
  }

  /// Turns the relay until it holds, ten seconds at most.
  func turn(until holds: () throws -> Bool) throws {
    let limit = EventLoop.clock() + 10_000_000_000
    while try !holds() {
      try #require(EventLoop.clock() < limit, "waited in vain; \(relay.statistics)")
      try loop.step(timeout: 5_000_000)
    }
  }
}

/// A packet socket on eth1 of a namespace.
final class RawPort {
  private let descriptor: Int32

  init(_ namespace: Namespace) throws {
    descriptor = try inNamespace(namespace.fileDescriptor) { () throws(SystemError) in
      let file = try systemCall("socket") {
        socket(AF_PACKET, Int32(SOCK_RAW.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
      }
      var outgoing: Int32 = 1  // PACKET_IGNORE_OUTGOING
      try systemCall("setsockopt") { setsockopt(file, 263, 23, &outgoing, 4) }
      // struct sockaddr_ll: family, protocol ETH_P_ALL, interface 2.
      var address: [UInt8] = [17, 0, 0, 3, 2, 0, 0, 0] + [UInt8](repeating: 0, count: 12)
      try systemCall("bind") {
        address.withUnsafeMutableBytes { bytes in
          bytes.withMemoryRebound(to: sockaddr.self) {
            bind(file, __CONST_SOCKADDR_ARG(__sockaddr__: UnsafePointer($0.baseAddress)), 20)
          }
        }
      }
      return file
    }
  }

  deinit { close(descriptor) }

  func send(_ frame: [UInt8]) throws {
    try systemCall("send") { Glibc.send(descriptor, frame, frame.count, 0) }
  }

  /// Everything that waits.
  func read() -> [[UInt8]] {
    var frames: [[UInt8]] = []
    var buffer = [UInt8](repeating: 0, count: 2048)
    while case let count = recv(descriptor, &buffer, buffer.count, 0), count >= 0 {
      frames.append(Array(buffer[..<count]))
    }
    return frames
  }
}

/// An Ethernet frame to everybody, of a protocol for experiments (IEEE 802, 88B5), whose payload begins with a number.
func frame(_ number: Int, length: Int = 60, tag: [UInt8] = []) -> [UInt8] {
  let head = [UInt8](repeating: 0xFF, count: 6) + [2, 0, 0, 0, 0, 9] + tag + [0x88, 0xB5]
  let body = [UInt8(number >> 8), UInt8(number & 0xFF)]
  return head + body + [UInt8](repeating: 0, count: max(0, length - head.count - body.count))
}
