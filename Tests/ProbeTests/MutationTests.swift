import ControlProtocol
import Foundation
import NetTypes
import Probe
import Testing

/// h1 - a - b - web, and a - c - b beside it. Each verdict of a trace, shown able to fail: the lab as it is, one thing
/// broken on purpose, the verdict that must change, and the lab as it was.
///
///   h1 ── a ────── b ── web
///         └── c ───┘
extension NamespaceTests {
  @Suite struct MutationTests {
    private let lab: NamespaceLab
    private let path = ["h1", "a", "b", "web"]
    private let protocols = [NLProtocol.icmp, .udp, .tcp]

    init() throws {
      lab = try NamespaceLab(
        ["h1:eth1-a:eth0", "a:eth1-b:eth0", "b:eth1-web:eth1", "a:eth2-c:eth0", "c:eth1-b:eth2"], hosts: ["h1", "web"])
      try lab.route("h1", via: "a:eth0")
      try lab.route("a", via: "b:eth0")
      try lab.route("b", via: "a:eth1")
      try lab.route("b", to: lab.subnets(3), via: "web:eth1")
      try lab.route("c", via: "b:eth2")
      try lab.route("c", to: lab.subnets(1), via: "a:eth2")
      try lab.route("web", via: "b:eth1")
    }

    private func probes(_ proto: NLProtocol) -> Int { proto == .tcp ? 3 : 8 }

    private func request(_ proto: NLProtocol) -> NLTraceRequest {
      var request = lab.request("h1", "web", lab.address("web:eth1"), proto, port: 7000)
      request.count = UInt32(probes(proto))
      request.timeoutMs = 1500
      return request
    }

    private func table(_ node: String, _ hook: String, _ rules: [String]) throws {
      let lines =
        ["add table ip m", "add chain ip m c { type \(hook); }"] + rules.map { "add rule ip m c \($0)" }
      try lab.run(node, lines.map { "nft \"\($0)\"" }.joined(separator: "; "))
    }

    private func expectUntouched(_ reply: NLTraceReply, _ what: String) {
      #expect(reply.reachable && reply.undecidedBecause == "" && reply.symmetric == .yes, "\(what) \(reply)")
      #expect(reply.forward.path == path && reply.return.path == path.reversed(), "\(what)")
      #expect(reply.forward.lost == 0 && reply.forward.drops.isEmpty && reply.return.drops.isEmpty, "\(what)")
      #expect(reply.forward.hops.allSatisfy { !$0.hasNat && $0.us < 10_000 }, "\(what) \(reply.forward.hops)")
      #expect(reply.icmpErrors.isEmpty && reply.notes.isEmpty, "\(what)")
    }

    /// - Parameter verdict: what must hold while it is broken.
    private func mutate(
      _ what: String, _ break: () throws -> Void, _ mend: () throws -> Void,
      _ verdict: (NLTraceReply, NLProtocol) -> Void
    ) throws {
      for proto in protocols { expectUntouched(trace(request(proto)), "before: \(what) \(proto)") }
      for proto in protocols {
        try `break`()  // again for each: what counts packets begins anew
        let reply = trace(request(proto))
        #expect(reply.error == "" && reply.undecidedBecause == "", "\(what) \(proto) \(reply.undecidedBecause)")
        verdict(reply, proto)
        try mend()
      }
      expectUntouched(trace(request(.udp)), "after: \(what)")
    }

    @Test("one packet dropped on one hop is one packet lost there, and the path stands")
    func dropped() throws {
      try mutate(
        "drop",
        { try table("b", "filter hook forward priority 0", ["ip saddr 10.99.1.1 numgen inc mod 1000 0 counter drop"]) },
        { try lab.run("b", "nft delete table ip m") }
      ) { reply, proto in
        #expect(reply.reachable && reply.forward.path == path, "\(proto)")
        #expect(reply.forward.lost == 1 && reply.forward.lastSeen == "b:eth0", "\(proto) \(reply.forward.lost)")
        let drop = reply.forward.drops.first ?? NLDrop()
        #expect(drop.node == "b" && drop.packets == 1 && drop.reason == "loss", "\(proto) \(reply.forward.drops)")
        // A lost SYN is sent again: one packet more.
        if proto == .tcp { #expect(reply.forward.packets >= 4) } else { #expect(reply.forward.packets == 8) }
      }
    }

    @Test("a rewritten port is reported at its hop, both ways")
    func rewritten() throws {
      try mutate(
        "rewrite",
        {
          try table(
            "b", "nat hook postrouting priority 100",
            ["meta l4proto { tcp, udp } ip saddr 10.99.1.1 snat to 10.99.1.1:4444-4460"])
        }, { try lab.run("b", "nft delete table ip m") }
      ) { reply, proto in
        #expect(reply.reachable && reply.forward.path == path && reply.symmetric == .yes, "\(proto)")
        guard proto != .icmp, reply.forward.hops.count == 4, reply.return.hops.count == 4 else { return }
        let (there, back) = (reply.forward.hops[2].nat, reply.return.hops[1].nat)
        #expect(
          there.sourceTo.hasPrefix("10.99.1.1:44") && there.sourceFrom.hasPrefix("10.99.1.1:"), "\(proto) \(there)")
        #expect(back.destinationFrom == there.sourceTo && back.destinationTo == there.sourceFrom, "\(proto) \(back)")
        #expect(!reply.forward.hops[1].hasNat, "\(proto)")
      }
    }

    @Test("a hop that holds packets back shows it in its time, and no other hop does")
    func delayed() throws {
      // 60 bytes at 20 kbit/s wait some 20 ms each, once the bucket of one packet is empty.
      try mutate(
        "delay", { try lab.run("b", "tc qdisc add dev eth1 root tbf rate 20kbit burst 100 limit 5000") },
        { try lab.run("b", "tc qdisc del dev eth1 root") }
      ) { reply, proto in
        #expect(reply.reachable && reply.forward.path == path && reply.forward.lost == 0, "\(proto)")
        guard reply.forward.hops.count == 4 else { return }
        let (a, b) = (reply.forward.hops[1].us, reply.forward.hops[2].us)
        #expect(b > 3000 && b > 10 * a, "\(proto) a \(a) µs, b \(b) µs")
      }
    }

    @Test("a more specific route draws the flow another way, and only the way there")
    func leaked() throws {
      try mutate(
        "leak", { try lab.run("a", "ip route add \(lab.address("web:eth1"))/32 via \(lab.address("c:eth0"))") },
        { try lab.run("a", "ip route del \(lab.address("web:eth1"))/32") }
      ) { reply, proto in
        #expect(reply.reachable && reply.symmetric == .no, "\(proto)")
        #expect(reply.forward.path == ["h1", "a", "c", "b", "web"], "\(proto) \(reply.forward.path)")
        #expect(reply.return.path == path.reversed(), "\(proto)")
      }
    }

    @Test("a flow that ends on the way is unreachable, with the place")
    func ended() throws {
      try mutate(
        "end", { try lab.run("b", "ip route add blackhole \(lab.address("web:eth1"))/32") },
        { try lab.run("b", "ip route del blackhole \(lab.address("web:eth1"))/32") }
      ) { reply, proto in
        #expect(!reply.reachable && reply.symmetric == .notApplicable, "\(proto)")
        #expect(reply.forward.path == ["h1", "a", "b"] && reply.forward.lastSeen == "b:eth0", "\(proto)")
        #expect(reply.forward.drops.map(\.reason) == ["no-route"], "\(proto) \(reply.forward.drops)")
      }
    }
  }
}
