import CLinux
import EventLoop
import Foundation
import NetTypes
import Testing

@testable import Sidecar

/// What the kernel hands over, in a network namespace of its own:
///
///   client ─► service's address ══ nft redirect ══► sidecar ──(mark)──► origin
///
/// Threads that are begun in it, the sidecar's workers among them, stay in it.
@Suite(.enabled(if: getuid() == 0, "makes a network namespace")) struct InterceptionTests {
  private static let mark: UInt32 = 0x4E4D

  /// Runs the body on a thread in a new namespace with `lo` up and redirection to port 15001 of whatever has no mark.
  private func inNamespace(_ body: @escaping @Sendable () throws -> Void) throws {
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
      defer { done.signal() }
      do {
        try #require(unshare(CLONE_NEWNET) == 0)
        try Self.shell(
          """
          ip link set lo up
          ip address add 10.254.0.1/32 dev lo && ip address add 10.254.0.9/32 dev lo
          ip address add fd00:254::1/128 dev lo nodad
          nft -f - <<RULES
          table inet t {
            chain out {
              type nat hook output priority -100;
              meta mark \(Self.mark) return
              ip daddr 10.254.0.0/16 tcp dport 80 redirect to :15001
              ip6 daddr fd00:254::/64 tcp dport 80 redirect to :15001
            }
          }
          RULES
          """)
        try body()
      } catch {
        Issue.record(error)
      }
    }
    thread.start()
    done.wait()
  }

  /// Not by Foundation's Process: it hears of a child's end through the run loop of the thread that began it, and these
  /// threads come and go.
  private static func shell(_ text: String) throws { try #require(system("set -e\n" + text) == 0) }

  /// A server on an address of the namespace that tells its name and ends.
  private static func origin(_ address: String, _ port: UInt16, _ name: String) throws {
    let socket = try TCPSocket.listen(SocketAddress(try #require(IPAddress(address)), port)).release()
    _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) & ~O_NONBLOCK)
    Thread {
      while case let peer = accept(socket, __SOCKADDR_ARG(), nil), peer >= 0 { _ = Peer(peer).write(name) }
    }.start()
  }

  private static func ask(_ address: String, mark: UInt32 = 0) throws -> String {
    let socket = try TCPSocket.connect(SocketAddress(try #require(IPAddress(address)), 80), mark: mark).release()
    _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) & ~O_NONBLOCK)
    return Peer(socket).readAll()
  }

  private static func sidecar(mark: UInt32) throws -> Sidecar {
    var configuration = SidecarConfiguration()
    configuration.pod = "client-1"
    configuration.mark = mark
    let endpoint = SocketAddress(try #require(IPAddress("127.0.0.1")), 8080)
    configuration.clusters = [Cluster("web", [Endpoint(endpoint)])]
    let addresses = try ["10.254.0.1", "fd00:254::1"].map { SocketAddress(try #require(IPAddress($0)), 80) }
    configuration.services = [
      Service("web", addresses: addresses, .tcp, routes: [RouteRule(backends: [WeightedBackend("web")])])
    ]
    configuration.listeners = try ["0.0.0.0", "::"].map {
      Listener(SocketAddress(try #require(IPAddress($0)), 15001), .outboundCapture)
    }
    return try Sidecar(configuration)
  }

  @Test("a redirected connection is known by its original destination, IPv4 and IPv6; others go where they were going")
  func original() throws {
    try inNamespace {
      try Self.origin("127.0.0.1", 8080, "web")
      try Self.origin("10.254.0.9", 80, "elsewhere")
      let sidecar = try Self.sidecar(mark: Self.mark)
      defer { sidecar.stop() }
      #expect(try Self.ask("10.254.0.1") == "web")
      #expect(try Self.ask("fd00:254::1") == "web")
      // Of no service: passed on by the sidecar, whose own connection bears the mark and is not redirected again.
      #expect(try Self.ask("10.254.0.9") == "elsewhere")
      let edges = sidecar.metrics.split(separator: "\n").filter { $0.hasPrefix("netloom_connections_opened_total") }
      #expect(edges.contains { $0.contains("service=\"web\"") && $0.hasSuffix(" 2") }, "\(edges)")
      #expect(edges.contains { $0.contains("service=\"passthrough\"") && $0.hasSuffix(" 1") }, "\(edges)")
    }
  }

  @Test("a connection to the sidecar's own port, which nobody redirected, is refused and does not come back to it")
  func loop() throws {
    try inNamespace {
      try Self.origin("127.0.0.1", 8080, "web")
      let sidecar = try Self.sidecar(mark: Self.mark)
      defer { sidecar.stop() }
      let socket = try TCPSocket.connect(SocketAddress(try #require(IPAddress("127.0.0.1")), 15001), mark: 0).release()
      _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) & ~O_NONBLOCK)
      #expect(Peer(socket).readError() == ECONNRESET)
      #expect(try Self.ask("10.254.0.1") == "web")
      let opened = sidecar.metrics.split(separator: "\n").filter { $0.hasPrefix("netloom_connections_opened_total{") }
      #expect(opened.compactMap { Int($0.split(separator: " ").last ?? "") }.reduce(0, +) == 1, "\(opened)")
    }
  }
}
