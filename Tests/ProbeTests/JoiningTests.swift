import ControlProtocol
import Foundation
import NetTypes
import Probe
import Testing

/// h1 - a - b - web, with packets that are not the same records on every hop.
extension NamespaceTests {
  @Suite struct JoiningTests {
    private let lab: NamespaceLab
    private let path = ["h1", "a", "b", "web"]

    init() throws {
      lab = try NamespaceLab.line()
    }

    private func serve(_ program: String) throws -> Process {
      let pipe = Pipe()
      let server = try lab.start("web", ["python3", "-c", program], output: pipe)
      #expect(String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self).hasPrefix("ready"))
      return server
    }

    private func expectWhole(_ reply: NLTraceReply, _ what: String = "") {
      #expect(reply.reachable && reply.undecidedBecause == "", "\(what) \(reply.undecidedBecause) \(reply.error)")
      #expect(reply.forward.path == path && reply.return.path == path.reversed(), "\(what) \(reply.return.path)")
      #expect(reply.symmetric == .yes, "\(what)")
    }

    /// A service that answers a datagram with 4,000 bytes.
    private static let largeAnswers = """
      import socket,threading
      a=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); a.bind(("0.0.0.0",9100))
      b=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM); b.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,1); b.bind(("::",9100))
      def loop(u):
        while True:
          d,p=u.recvfrom(2048); u.sendto(bytes(i & 255 for i in range(4000)),p)
      threading.Thread(target=loop,args=(a,),daemon=True).start()
      print("ready",flush=True)
      loop(b)
      """

    @Test("answers in fragments, cut again on the way and put together by a tracking router, are joined")
    func fragments() throws {
      let server = try serve(Self.largeAnswers)
      defer { server.terminate() }
      for family in AddressFamily.allCases {
        let reply = trace(lab.request("h1", "web", lab.address("web:eth1", family), .udp, port: 9100))
        expectWhole(reply, "\(family)")
        #expect(reply.return.hops.first?.joinedBy == "conntrack")
      }
      // b has to cut what came in pieces, IPv4 only (RFC 8200 section 5 leaves that to the sender).
      for (node, interface) in [("b", "eth0"), ("a", "eth1")] { try lab.run(node, "ip link set \(interface) mtu 600") }
      expectWhole(trace(lab.request("h1", "web", lab.address("web:eth1"), .udp, port: 9100)), "cut again")
      // Connection tracking reassembles before it forwards.
      try lab.run(
        "a",
        "nft add table ip t; nft \"add chain ip t c { type filter hook forward priority 0; }\"; nft add rule ip t c ct state invalid drop"
      )
      expectWhole(trace(lab.request("h1", "web", lab.address("web:eth1"), .udp, port: 9100)), "reassembled")
    }

    @Test("segments aggregated on one hop and cut on the next are the same bytes")
    func offload() throws {
      let server = try serve(
        """
        import socket
        t=socket.socket(); t.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); t.bind(("0.0.0.0",9101)); t.listen()
        print("ready",flush=True)
        while True:
          c,_=t.accept(); c.sendall(bytes(100000)); c.close()
        """)
      defer { server.terminate() }
      // a cuts before its far side; its other neighbor sees what web sent.
      try lab.run("a", "ip link set eth0 gso_max_segs 1 || ethtool -K eth0 tso off gso off tx-gso-partial off")
      let file = NSTemporaryDirectory() + "netloom-offload-\(UUID().uuidString).pcapng"
      defer { unlink(file) }
      var request = lab.request("h1", "web", lab.address("web:eth1"), .tcp, port: 9101)
      request.pcap = file
      let reply = trace(request)
      expectWhole(reply)
      #expect(reply.return.paths.count == 1 && reply.return.lost == 0, "\(reply.return)")
      #expect(reply.return.hops.allSatisfy { $0.joinedBy == "seq" })
      // That it was so: fewer records on b's side than on h1's.
      guard FileManager.default.isExecutableFile(atPath: "/usr/bin/tshark") else { return }
      let text = try NamespaceLab.shell(
        "tshark -r \(file) -Y 'tcp.srcport==9101 && tcp.len>0' -T fields -e frame.interface_name 2>/dev/null")
      let counts = Dictionary(text.split(separator: "\n").map { (String($0), 1) }, uniquingKeysWith: +)
      #expect(counts["b:eth1", default: 0] < counts["h1:eth1", default: 0], "\(counts)")
    }

    @Test("a SYN that is lost and sent again is two copies: the connection stands, the first is lost where it ended")
    func retransmission() throws {
      try lab.run(
        "b",
        "nft add table ip t; nft \"add chain ip t c { type filter hook forward priority 0; }\"; nft \"add rule ip t c tcp flags syn numgen inc mod 1000 0 counter drop\""
      )
      let reply = trace(lab.request("h1", "web", lab.address("web:eth1"), .tcp, port: 9102))
      expectWhole(reply)
      #expect(reply.forward.lost == 1 && reply.forward.lastSeen == "b:eth0")
    }

    @Test("local delivery: an address of the last router, on the interface that is not on the way")
    func localDelivery() {
      for proto in [NLProtocol.icmp, .udp, .tcp] {
        let reply = trace(lab.request("h1", "b", lab.address("b:eth1"), proto, port: 9103))
        #expect(reply.reachable && reply.undecidedBecause == "", "\(proto) \(reply.undecidedBecause)")
        #expect(reply.forward.path == ["h1", "a", "b"] && reply.return.path == ["b", "a", "h1"], "\(proto)")
        #expect(reply.forward.hops.last?.in == "eth0" && reply.forward.hops.last?.out == "", "\(proto)")
      }
    }
  }

  /// h1, h2 and web on one bridge with a router, which sends some of them back out where they came in.
  @Suite struct SharedSegmentTests {
    @Test("on a shared segment the two ends of a hop are told by their frames, also when a router turns packets round")
    func turnedRound() throws {
      let lab = try NamespaceLab(["h1:eth1-s:p1", "r:eth1-s:p2", "web:eth1-s:p3"], hosts: ["h1", "web", "s"])
      try lab.run(
        "s",
        "ip link add br0 type bridge; for p in p1 p2 p3; do ip addr flush dev $p; ip link set $p master br0; done; ip link set br0 up"
      )
      for (index, node) in ["h1", "r", "web"].enumerated() {
        try lab.run(
          node,
          "ip addr add 10.98.0.\(index + 1)/24 dev eth1; sysctl -qw net.ipv4.conf.eth1.send_redirects=0 net.ipv4.conf.all.send_redirects=0"
        )
      }
      var request = lab.request("h1", "web", "10.98.0.3")
      for index in request.nodes.indices where request.nodes[index].name == "s" { request.nodes[index].kind = "switch" }
      for index in request.nodes.indices where request.nodes[index].name == "web" {
        request.nodes[index].addresses.append(Data(IPAddress("10.98.0.3")?.bytes ?? []))
      }
      let direct = trace(request)
      #expect(direct.reachable && direct.undecidedBecause == "", "\(direct.undecidedBecause)")
      #expect(direct.forward.path == ["h1", "web"] && direct.symmetric == .yes)
      // By the router, which has only this interface; the answers come straight.
      try lab.run("h1", "ip route add 10.98.0.3/32 via 10.98.0.2")
      for proto in [NLProtocol.icmp, .tcp, .udp] {
        request.protocol = proto
        request.port = proto == .icmp ? 0 : 9104
        let reply = trace(request)
        #expect(reply.reachable && reply.undecidedBecause == "", "\(proto) \(reply.undecidedBecause)")
        #expect(reply.forward.path == ["h1", "r", "web"] && reply.return.path == ["web", "h1"], "\(proto)")
        #expect(reply.forward.hops.first { $0.node == "r" }?.in == "eth1", "\(proto)")
        #expect(reply.forward.hops.first { $0.node == "r" }?.out == "eth1", "\(proto)")
        #expect(reply.symmetric == .no, "\(proto)")
      }
    }
  }
}
