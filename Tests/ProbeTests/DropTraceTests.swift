import ControlProtocol
import Foundation
import NetTypes
import Probe
import Testing

/// h1 - a - b - web: every reason for which a kernel drops a packet, made on purpose, and found with its evidence.
extension NamespaceTests {
  @Suite struct DropTraceTests {
    private let lab: NamespaceLab
    private let path = ["h1", "a", "b", "web"]

    init() throws {
      lab = try NamespaceLab.line()
    }

    private func request(_ proto: NLProtocol = .icmp, _ family: AddressFamily = .ipv4) -> NLTraceRequest {
      var request = lab.request("h1", "web", lab.address("web:eth1", family), proto, port: 7000)
      request.timeoutMs = 300
      return request
    }

    private func rule(_ node: String, _ hook: String, _ text: String) throws {
      try lab.run(
        node,
        "nft add table inet t; nft \"add chain inet t c { type filter hook \(hook); }\"; nft \"add rule inet t c \(text.replacing("\"", with: "\\\""))\""
      )
    }

    private func expect(
      _ reply: NLTraceReply, _ place: String, _ reason: String, _ evidence: String, _ what: String = ""
    ) {
      #expect(!reply.reachable && reply.undecidedBecause == "" && reply.error == "", "\(what) \(reply)")
      let drop = reply.forward.drops.first ?? NLDrop()
      #expect("\(drop.node):\(drop.interface)" == place && drop.reason == reason, "\(what) \(reply.forward.drops)")
      #expect(drop.detail.contains(evidence), "\(what) \(drop.detail)")
      #expect(drop.packets == reply.forward.drops.reduce(0) { $0 + $1.packets }, "\(what) \(reply.forward.drops)")
    }

    @Test("no route: said by the router, counted by its kernel, in both families", arguments: AddressFamily.allCases)
    func noRoute(_ family: AddressFamily) throws {
      try lab.run("b", "ip \(family == .ipv4 ? "-4" : "-6") route del default")
      var request = request(.icmp, family)
      request.destination = Data(IPAddress(family == .ipv4 ? "198.18.0.1" : "2001:db8:99::1")?.bytes ?? [])
      request.to = ""
      let counter = family == .ipv4 ? "IpExt InNoRoutes counted 3" : "NoRoutes counted 3"
      expect(trace(request), "b:eth0", "no-route", counter, "\(family)")
    }

    @Test("an unreachable route, a black hole and a prohibition are no route or a rule of routing, by their own words")
    func routesThatLeadNowhere() throws {
      let target = "\(lab.address("web:eth1"))/32"
      try lab.run("a", "ip route add unreachable \(target)")
      expect(trace(request()), "a:eth0", "no-route", "host unreachable)", "unreachable")
      try lab.run("a", "ip route replace blackhole \(target)")
      expect(
        trace(request()), "a:eth0", "no-route", "its route to \(lab.address("web:eth1")) is a black hole", "black hole")
      try lab.run("a", "ip route replace prohibit \(target)")
      expect(trace(request()), "a:eth0", "filter", "prohibit", "prohibit")
    }

    @Test("a next hop that does not answer is no missing route")
    func silentNeighbor() throws {
      // Nobody has the address, and the router says so after three unanswered questions.
      try lab.run("b", "ip route add 198.18.5.5/32 dev eth1; sysctl -qw net.ipv4.neigh.eth1.retrans_time_ms=50")
      var request = lab.request("h1", "", "198.18.5.5")
      request.timeoutMs = 2000
      expect(trace(request), "b:eth0", "unknown", "host unreachable); the next hop does not answer")
    }

    @Test("TTL: the packet ended where it ran out", arguments: AddressFamily.allCases)
    func ttl(_ family: AddressFamily) throws {
      try lab.run(
        "h1", "sysctl -qw net.ipv4.ip_default_ttl=2 net.ipv6.conf.all.hop_limit=2 net.ipv6.conf.eth1.hop_limit=2")
      let words = family == .ipv4 ? "time exceeded (TTL); Ip InHdrErrors" : "time exceeded (hop limit); Ip6InHdrErrors"
      expect(trace(request(.udp, family)), "b:eth0", "ttl", words, "\(family)")
    }

    @Test("a rule that drops is named by its comment, by every protocol, wherever it stands")
    func filter() throws {
      try rule("b", "forward priority 0", "counter drop comment \"nobody through here\"")
      for proto in [NLProtocol.icmp, .udp, .tcp] {
        for family in AddressFamily.allCases {
          expect(
            trace(request(proto, family)), "b:eth0", "filter", "rule `nobody through here` counted",
            "\(proto) \(family)")
        }
      }
      try lab.run("b", "nft delete table inet t")
      try rule("web", "input priority 0", "udp dport 7000 counter drop")
      expect(trace(request(.udp)), "web:eth1", "filter", "of inet t c counted 3")
    }

    @Test("a rule without a counter is no evidence: the reason stays unknown")
    func uncounted() throws {
      try rule("b", "forward priority 0", "drop")
      expect(trace(request()), "b:eth0", "unknown", "came in, and did not leave")
    }

    @Test("a rule that rejects is told by its error and by its counter")
    func rejected() throws {
      try rule("b", "forward priority 0", "counter reject with icmpx admin-prohibited comment \"no\"")
      expect(trace(request(.udp)), "b:eth0", "filter", "administratively prohibited); rule `no` counted 3")
    }

    @Test("a reset in the name of the far end, by a router, is a rule")
    func rejectedByReset() throws {
      try rule("b", "forward priority 0", "meta l4proto tcp counter reject with tcp reset comment \"no\"")
      expect(trace(request(.tcp)), "b:eth0", "filter", "b reset the connection; rule `no` counted 1")
    }

    @Test("what the sender's own rule keeps back left no interface")
    func ownRule() throws {
      try rule("h1", "output priority 0", "meta l4proto { icmp, tcp } counter drop comment \"stay\"")
      let reply = trace(request())
      expect(reply, "h1:", "filter", "Operation not permitted; rule `stay` counted 3")
      expect(trace(request(.tcp)), "h1:", "filter", "rule `stay` counted", "tcp")
    }

    @Test("packets over a rate are a policer's, and those that fitted arrive")
    func policer() throws {
      try rule(
        "b", "forward priority 0", "icmp type echo-request limit rate over 1/minute burst 1 packets counter drop")
      let reply = trace(request())
      #expect(reply.reachable)
      #expect(
        reply.forward.drops.map(\.reason) == ["policer"] && reply.forward.drops.first?.packets == 2, "\(reply.forward)")
    }

    @Test("declared loss is told from a filter")
    func loss() throws {
      try rule("b", "prerouting priority -300", "icmp type echo-request numgen random mod 100 >= 0 counter drop")
      expect(trace(request()), "b:eth0", "loss", "of inet t c counted 3")
    }

    @Test("a full queue is a shaper's")
    func shaper() throws {
      #expect(trace(request(.udp)).reachable)  // the neighbors know each other: their questions would be dropped too
      // A bucket smaller than the packets: all of them are dropped by the queue.
      try lab.run("b", "tc qdisc add dev eth1 root tbf rate 8kbit burst 30 limit 1")
      expect(trace(request(.udp)), "b:eth0", "shaper", "qdisc tbf")
    }

    @Test("reverse path filtering is told by its counter")
    func reversePath() throws {
      try lab.run(
        "b", "sysctl -qw net.ipv4.conf.all.rp_filter=1; ip route add unreachable \(lab.address("h1:eth1"))/32")
      expect(trace(request()), "b:eth0", "rp-filter", "TcpExt IPReversePathFilter counted 3")
    }

    @Test("a port that nobody listens on", arguments: [NLProtocol.udp, .tcp])
    func noListener(_ proto: NLProtocol) {
      var request = request(proto)
      request.to = ""  // so that nobody answers in its place
      expect(
        trace(request), "web:eth1", "no-listener", proto == .udp ? "port unreachable" : "web refused it with RST",
        "\(proto)")
    }

    @Test("a link that is down at its far end has no carrier, and that is why")
    func linkDown() throws {
      try lab.run("b", "ip link set eth0 down")
      expect(trace(request()), "a:eth0", "link-down", "eth1, by which its route to 10.99.3.2 leads, has no carrier")
    }

    @Test("an answer that is dropped on its way back is a drop of the way back")
    func wayBack() throws {
      try rule("a", "forward priority 0", "icmp type echo-reply counter drop comment \"no answers\"")
      let reply = trace(request())
      #expect(!reply.reachable && reply.forward.drops.isEmpty && reply.return.path.isEmpty)
      let drop = reply.return.drops.first ?? NLDrop()
      #expect(drop.node == "a" && drop.interface == "eth1" && drop.reason == "filter", "\(reply.return.drops)")
      #expect(drop.detail == "rule `no answers` counted 3")
    }
  }
}
