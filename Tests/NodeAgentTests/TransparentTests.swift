import ControlProtocol
import NetTypes
import SwiftProtobuf
import Testing

@testable import NodeAgent

/// What comes for a pod's service is handed to its sidecar as it was (TPROXY). Two programs stand in for the sidecar and
/// the pod's own.
@Suite(.enabled(if: LabNode.isAllowed)) struct TransparentTests {
  private static let mark: UInt32 = 0x4E54

  /// Listens as a sidecar does, and connects to port 80 of loopback from its client's address.
  private func sidecar(_ bench: EdgeBench) throws {
    let path = try bench.script(
      "sidecar",
      """
      import socket, threading
      def transparent(s, family):
        s.setsockopt(*((0, 19, 1) if family == socket.AF_INET else (41, 75, 1)))
        return s
      def pump(a, b):
        while (data := a.recv(4096)): b.sendall(data)
      def serve(family, any, loopback):
        l = transparent(socket.socket(family), family)
        l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6: l.setsockopt(41, 26, 1)
        l.bind((any, 15006)); l.listen()
        while True:
          c, peer = l.accept()
          c.sendall(f'taken for {c.getsockname()[0]}\\n'.encode())
          u = transparent(socket.socket(family), family)
          u.setsockopt(socket.SOL_SOCKET, 36, \(Self.mark))
          u.bind((peer[0], 0)); u.connect((loopback, 80))
          for pair in ((c, u), (u, c)): threading.Thread(target=pump, args=pair, daemon=True).start()
      threading.Thread(target=serve, args=(socket.AF_INET6, '::', '::1'), daemon=True).start()
      serve(socket.AF_INET, '0.0.0.0', '127.0.0.1')
      """)
    try bench.start("python3 \(path)", in: bench.node.namespace)
    try bench.node.wait("ss -Hltn sport = 15006") { $0.split(separator: "\n").count == 2 }
  }

  private func plane(_ plane: inout NLDataPlane) {
    plane.interception = NLInterception.with { interception in
      interception.origin = origin("sidecar")
      (interception.mark, interception.transparentMark) = (0x4E4D, Self.mark)
      (interception.outboundPort, interception.inboundPort, interception.ports) = (15001, 15006, [80])
    }
  }

  /// The first lines that somebody who connects is told.
  private func ask(_ bench: EdgeBench, _ address: String, lines: Int) throws -> String {
    try bench.run(
      "timeout 5 bash -c 'exec 3<>/dev/tcp/\(address)/80 && head -\(lines) <&3' 2>&1 | sed 's/.*: //'", in: bench.client
    )
  }

  @Test func `a sidecar takes it with both addresses, and without one it is refused`() throws {
    let bench = try EdgeBench()
    try bench.serve([80], in: bench.node.namespace)
    // Begun before: it belongs to the program, and stays with it.
    try bench.run(
      """
      mkfifo \(bench.directory)/say
      bash -c 'exec 3<>/dev/tcp/10.7.0.1/80; head -1 <&3; cat \(bench.directory)/say >&3; head -1 <&3' \
        > \(bench.directory)/early 2>&1 &
      """, in: bench.client)
    try bench.node.wait("cat \(bench.directory)/early") { $0 == "10.7.0.2\n" }
    try bench.run(
      "sysctl -qw net.ipv4.tcp_fwmark_accept=1 net.ipv4.fwmark_reflect=1 net.ipv6.fwmark_reflect=1",
      in: bench.node.namespace)
    #expect(try bench.desire(plane).error.isEmpty)
    #expect(try bench.query(.drift).drift.items.isEmpty)
    for address in ["10.7.0.1", "fd07::1"] {
      #expect(try bench.connect(address, 80, in: bench.client) == "refused", "nobody listens on 15006: all is closed")
    }
    try bench.run("echo still here > \(bench.directory)/say", in: bench.client)
    try bench.node.wait("cat \(bench.directory)/early") { $0 == "10.7.0.2\nstill here\n" }

    try sidecar(bench)
    #expect(try ask(bench, "10.7.0.1", lines: 2) == "taken for 10.7.0.1\n10.7.0.2\n")
    #expect(try ask(bench, "fd07::1", lines: 2) == "taken for fd07::1\nfd07::2\n")
    // The pod's own programs are not handed over.
    #expect(
      try bench.run("timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/80; head -1 <&3'", in: bench.node.namespace)
        == "127.0.0.1\n")
    let state = try bench.node.output("ip rule; ip -6 rule; ip route show table 9500; ip -6 route show table 9500")
    #expect(
      state.split(separator: "\n").filter { $0.hasPrefix("7000:\tfrom all fwmark 0x4e54 lookup 9500") }.count == 2)
    #expect(state.split(separator: "\n").filter { $0.hasPrefix("local default dev lo") }.count == 2, "\(state)")

    #expect(try bench.desire { _ in }.error.isEmpty)
    let left = try bench.node.output("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all")
    #expect(!left.contains("fwmark") && !left.contains("9500"), "\(left)")
    #expect(try ask(bench, "10.7.0.1", lines: 1) == "10.7.0.2\n")
  }
}
