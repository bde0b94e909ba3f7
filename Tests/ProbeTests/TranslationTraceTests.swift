import ControlProtocol
import Foundation
import NetTypes
import Probe
import Testing

/// Two hosts behind a router that translates, a provider, a server and a second way back.
///
///   h1 ─┐
///       edge ── isp ── web
///   h2 ─┘ └─ other ──┘
extension NamespaceTests {
  @Suite struct TranslationTraceTests {
    private let lab: NamespaceLab

    init() throws {
      lab = try NamespaceLab(
        [
          "h1:eth1-edge:eth1", "edge:eth0-isp:eth0", "isp:eth1-web:eth1", "h2:eth1-edge:eth2", "edge:eth3-other:eth0",
          "other:eth1-web:eth2",
        ], hosts: ["h1", "h2", "web"])
      try lab.route("h1", via: "edge:eth1")
      try lab.route("h2", via: "edge:eth2")
      try lab.route("edge", via: "isp:eth0")
      try lab.route("isp", via: "edge:eth0")
      try lab.route("web", via: "isp:eth1")
      try lab.route("other", via: "edge:eth3")
    }

    private func nat(_ chain: String, _ rule: String, family: String = "ip") throws {
      let hook = chain == "post" ? "postrouting priority 100" : "prerouting priority -100"
      try lab.run(
        "edge",
        "nft add table \(family) n; nft \"add chain \(family) n \(chain) { type nat hook \(hook); }\"; nft \"add rule \(family) n \(chain) \(rule)\""
      )
    }

    private let protocols = [NLProtocol.icmp, .tcp, .udp]

    private func hop(_ report: NLPathReport, _ node: String) -> NLHop {
      report.hops.first { $0.node == node } ?? NLHop()
    }

    private func expectWhole(_ reply: NLTraceReply, _ path: [String], _ what: String) {
      #expect(
        reply.error == "" && reply.reachable && reply.undecidedBecause == "",
        "\(what) \(reply.error) \(reply.undecidedBecause) \(reply.icmpErrors) \(reply.forward.path)")
      #expect(
        reply.forward.path == path && reply.return.path == path.reversed() && reply.symmetric == .yes,
        "\(what) \(reply.forward.path) \(reply.return.path)")
    }

    @Test("a pool with ports: the source is rewritten on the way there, the destination on the way back")
    func pool() throws {
      try nat("post", "oifname eth0 meta l4proto { tcp, udp } snat to 198.18.0.4-198.18.0.7:5000-5009")
      try nat("post", "oifname eth0 snat to 198.18.0.4-198.18.0.7")
      for proto in protocols {
        let reply = trace(lab.request("h1", "web", lab.address("web:eth1"), proto, port: 80))
        expectWhole(reply, ["h1", "edge", "isp", "web"], "\(proto)")
        let (there, back) = (hop(reply.forward, "edge").nat, hop(reply.return, "edge").nat)
        #expect(there.sourceFrom.hasPrefix("10.99.1.1") && there.sourceTo.hasPrefix("198.18.0."), "\(proto) \(there)")
        #expect(back.destinationFrom == there.sourceTo && back.destinationTo == there.sourceFrom, "\(proto) \(back)")
        #expect(there.destinationTo == "" && back.sourceTo == "", "\(proto)")
        if proto != .icmp {
          let port = there.sourceTo.split(separator: ":").last.flatMap { Int($0) } ?? 0
          #expect((5000...5009).contains(port), "\(proto) \(there.sourceTo)")
          // The kernel's own table as the second witness.
          let table = try lab.run("edge", "cat /proc/net/nf_conntrack || true")
          if !table.isEmpty { #expect(table.contains("dport=\(port)"), "\(table)") }
        }
      }
    }

    @Test("masquerading that changes identifiers and ports leaves probes recognisable")
    func randomised() throws {
      try nat("post", "oifname eth0 meta l4proto { tcp, udp } masquerade to :40000-40010 fully-random")
      try nat("post", "oifname eth0 masquerade")
      for proto in protocols {
        for host in ["h1", "h2"] {
          let reply = trace(lab.request(host, "web", lab.address("web:eth1"), proto, port: 80))
          expectWhole(reply, [host, "edge", "isp", "web"], "\(proto)")
          #expect(hop(reply.forward, "edge").nat.sourceTo.hasPrefix(lab.address("edge:eth0")), "\(proto)")
        }
      }
    }

    @Test("a forwarded port ends at the server behind it, which is answered for where nobody listens")
    func forwardedPort() throws {
      try nat("pre", "iifname eth0 meta l4proto tcp tcp dport 8080 dnat to 10.99.1.1:80")
      try nat("pre", "iifname eth0 meta l4proto udp udp dport 8080 dnat to 10.99.1.1:80")
      for proto in [NLProtocol.tcp, .udp] {
        let reply = trace(lab.request("web", "edge", lab.address("edge:eth0"), proto, port: 8080))
        expectWhole(reply, ["web", "isp", "edge", "h1"], "\(proto)")
        let (there, back) = (hop(reply.forward, "edge").nat, hop(reply.return, "edge").nat)
        #expect(there.destinationFrom == "10.99.2.1:8080" && there.destinationTo == "10.99.1.1:80", "\(proto) \(there)")
        #expect(back.sourceFrom == "10.99.1.1:80" && back.sourceTo == "10.99.2.1:8080", "\(proto) \(back)")
        #expect(there.sourceTo == "" && reply.port == 8080, "\(proto)")
        #expect(reply.return.hops.first?.joinedBy == (proto == .tcp ? "seq" : "nonce"), "\(proto)")
      }
      var rate = NLRateRequest()
      rate.flow = lab.request("web", "edge", lab.address("edge:eth0"), .tcp, port: 8080)
      rate.durationMs = 200
      var measured = NLRateReply()
      RateRun.run(rate) { measured = $0 }
      #expect(
        measured.error == "" && measured.reachable && measured.bytes > 100_000, "\(measured.error) \(measured.because)")
    }

    @Test("a forwarded port of a service of the user's")
    func forwardedService() throws {
      let program = """
        import socket
        t=socket.socket(); t.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); t.bind(("10.99.1.1",80)); t.listen()
        u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.bind(("10.99.1.1",80))
        import threading
        def serve():
          while True:
            d,a=u.recvfrom(2048); u.sendto(b"pong",a)
        threading.Thread(target=serve,daemon=True).start()
        print("ready",flush=True)
        while True:
          c,_=t.accept(); c.sendall(b"hello"); c.close()
        """
      let pipe = Pipe()
      let server = try lab.start("h1", ["python3", "-c", program], output: pipe)
      defer { server.terminate() }
      #expect(String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self).hasPrefix("ready"))
      try nat("pre", "iifname eth0 meta l4proto tcp tcp dport 8080 dnat to 10.99.1.1:80")
      try nat("pre", "iifname eth0 meta l4proto udp udp dport 8080 dnat to 10.99.1.1:80")
      for proto in [NLProtocol.tcp, .udp] {
        let reply = trace(lab.request("web", "edge", lab.address("edge:eth0"), proto, port: 8080))
        expectWhole(reply, ["web", "isp", "edge", "h1"], "\(proto)")
        #expect(hop(reply.return, "edge").nat.sourceTo == "10.99.2.1:8080", "\(proto)")
      }
    }

    @Test("a hairpin rewrites both addresses, there and back")
    func hairpin() throws {
      try nat("pre", "ip daddr 10.99.2.1 tcp dport 8080 dnat to 10.99.1.1:80")
      try nat("post", "ip saddr 10.99.4.0/30 ip daddr 10.99.1.1 masquerade")
      let reply = trace(lab.request("h2", "edge", "10.99.2.1", .tcp, port: 8080))
      expectWhole(reply, ["h2", "edge", "h1"], "hairpin")
      let (there, back) = (hop(reply.forward, "edge").nat, hop(reply.return, "edge").nat)
      #expect(there.sourceTo == "10.99.1.2" && there.destinationTo == "10.99.1.1:80", "\(there)")
      #expect(back.sourceTo == "10.99.2.1:8080" && back.destinationTo == "10.99.4.1", "\(back)")
    }

    @Test("one to one, and IPv6 by prefix: each way shows its rewriting")
    func mapped() throws {
      try nat("post", "oifname eth0 snat ip prefix to ip saddr map { 10.99.1.0/30 : 198.18.7.0/30 }")
      try nat("pre", "iifname eth0 dnat ip prefix to ip daddr map { 198.18.7.0/30 : 10.99.1.0/30 }")
      try nat(
        "post", "oifname eth0 snat ip6 prefix to ip6 saddr map { fd00:99:1::/64 : 2001:db8:7::/64 }", family: "ip6")
      try nat(
        "pre", "iifname eth0 dnat ip6 prefix to ip6 daddr map { 2001:db8:7::/64 : fd00:99:1::/64 }", family: "ip6")
      for proto in protocols {
        for (family, outside) in [(AddressFamily.ipv4, "198.18.7.1"), (.ipv6, "2001:db8:7::1")] {
          let what = "\(proto) \(family)"
          let out = trace(lab.request("h1", "web", lab.address("web:eth1", family), proto, port: 80))
          expectWhole(out, ["h1", "edge", "isp", "web"], what)
          #expect(hop(out.forward, "edge").nat.sourceTo.contains(outside), "\(what)")
          #expect(hop(out.return, "edge").nat.destinationFrom.contains(outside), "\(what)")
          let inward = trace(lab.request("web", "", outside, proto, port: 80))
          let node = proto == .tcp ? "\(what) in" : what
          expectWhole(inward, ["web", "isp", "edge", "h1"], node)
          #expect(hop(inward.forward, "edge").nat.destinationFrom.contains(outside), "\(what)")
        }
      }
    }

    @Test("an answer that misses the translating router is no answer: where it went is told, and who refused it")
    func asymmetric() throws {
      // web's port is forwarded by isp; web answers by the other router, which knows nothing of it.
      try lab.run(
        "isp",
        "nft add table ip n; nft \"add chain ip n pre { type nat hook prerouting priority -100; }\"; nft \"add rule ip n pre ip daddr 198.18.9.9 dnat to 10.99.3.2\""
      )
      try lab.run("web", "ip route replace 10.99.1.0/30 via 10.99.6.1")
      for proto in [NLProtocol.tcp, .udp] {
        var request = lab.request("h1", "web", "198.18.9.9", proto, port: 80)
        request.timeoutMs = 500
        let reply = trace(request)
        let what = "\(proto) \(reply.notes) \(reply.undecidedBecause)"
        #expect(!reply.reachable && reply.undecidedBecause == "", "\(what)")
        #expect(reply.forward.path == ["h1", "edge", "isp", "web"] && reply.return.path.isEmpty, "\(what)")
        #expect(reply.return.paths.first?.path == ["web", "other", "edge", "h1"], "\(what) \(reply.return.paths)")
        #expect(
          reply.notes.contains(
            "h1: the answer came from 10.99.3.2:80, not from 198.18.9.9:80, by web > other > edge > h1\(proto == .tcp ? "; h1 reset it" : "")"
          ),
          "\(what)")
      }
    }

    @Test("what a filter drops was last seen where it came in; what it rejects is told by its error")
    func filtered() throws {
      try lab.run(
        "edge",
        "nft add table inet f; nft \"add chain inet f c { type filter hook forward priority 0; }\"; nft \"add rule inet f c iifname eth1 drop\"; nft \"add rule inet f c iifname eth2 reject with icmpx admin-prohibited\""
      )
      for proto in protocols {
        var dropped = lab.request("h1", "web", lab.address("web:eth1"), proto, port: 80)
        dropped.timeoutMs = 300
        let silent = trace(dropped)
        #expect(
          !silent.reachable && silent.undecidedBecause == "" && silent.icmpErrors.isEmpty,
          "\(proto) \(silent.icmpErrors)")
        #expect(silent.forward.path == ["h1", "edge"] && silent.forward.lastSeen == "edge:eth1", "\(proto)")
        let told = trace(lab.request("h2", "web", lab.address("web:eth1"), proto, port: 80))
        #expect(!told.reachable && told.undecidedBecause == "" && told.forward.lastSeen == "edge:eth2", "\(proto)")
        #expect(
          told.icmpErrors.contains { $0.hasPrefix("edge: destination unreachable") && $0.contains("prohibited") },
          "\(proto) \(told.icmpErrors)")
      }
    }
  }
}
