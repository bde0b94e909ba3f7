import ControlProtocol
import Foundation
import NetTypes
import Probe
import Testing

private func look(_ lab: NamespaceLab, milliseconds: UInt32, filter: String = "", limit: UInt32 = 0) -> NLFlowsReply {
  var request = NLFlowsRequest()
  request.flow = lab.request(lab.nodes[0], "", "0.0.0.0")
  request.durationMs = milliseconds
  request.filter = filter
  request.limit = limit
  var reply = NLFlowsReply()
  FlowsRun.run(request) { reply = $0 }
  return reply
}

private func traffic(
  _ lab: NamespaceLab, _ engine: TrafficEngine, _ id: UInt64, _ proto: NLProtocol, _ family: AddressFamily = .ipv4,
  pps: UInt32 = 30, port: UInt32 = 0
) -> RunningTraffic {
  var request = NLTrafficRequest()
  request.flow = lab.request("h1", "web", lab.address("web:eth1", family), proto, port: port)
  request.packetsPerSecond = pps
  request.id = id
  return RunningTraffic(engine, request)
}

extension NLFlowsReply {
  fileprivate func flow(_ proto: UInt32, _ server: String) -> NLLiveFlow? {
    flows.first { $0.protocol == proto && $0.server == server }
  }
}

/// h1 - a - b - c - web with a link a - c that only the way back uses.
extension NamespaceTests {
  @Suite struct TriangleFlowsTests {
    private let lab: NamespaceLab
    private let engine = TrafficEngine()

    init() throws {
      lab = try NamespaceLab(
        ["h1:eth1-a:eth0", "a:eth1-b:eth0", "b:eth1-c:eth0", "a:eth2-c:eth2", "c:eth1-web:eth1"], hosts: ["h1", "web"])
      try lab.route("h1", via: "a:eth0")
      try lab.route("a", via: "b:eth0")
      try lab.route("b", via: "c:eth0")
      try lab.route("c", via: "a:eth2")
      try lab.route("web", via: "c:eth1")
    }

    @Test("flows that nobody announced are found with both ways, and those with another way back are asymmetric")
    func asymmetric() throws {
      var running: [RunningTraffic] = []
      for family in AddressFamily.allCases {
        for proto in [NLProtocol.icmp, .tcp, .udp] {
          running.append(traffic(lab, engine, UInt64(running.count + 1), proto, family))
        }
      }
      let reply = look(lab, milliseconds: 1500)
      engine.stopAll()
      let sent = try running.map { try $0.result() }
      #expect(sent.allSatisfy { $0.error == "" && $0.reachable }, "\(sent)")
      #expect(reply.error == "" && reply.dropped == 0 && reply.flowsOverLimit == 0, "\(reply.error)")
      for family in AddressFamily.allCases {
        for proto in [UInt32(family == .ipv4 ? 1 : 58), 6] {
          let flow = try #require(reply.flow(proto, lab.address("web:eth1", family)), "\(reply)")
          let text = "\(proto) \(family) \(flow)"
          #expect(flow.undecidedBecause == "" && flow.symmetric == .no, "\(text)")
          #expect(flow.client == lab.address("h1:eth1", family), "\(text)")
          #expect(flow.forward.path == ["h1", "a", "b", "c", "web"], "\(text)")
          #expect(flow.return.path == ["web", "c", "a", "h1"], "\(text)")
          #expect(flow.forward.lost == 0 && flow.return.lost == 0, "\(text)")
          if proto == 6 { #expect(flow.serverPort == 5202, "\(text)") }
        }
        let oneWay = try #require(reply.flow(17, lab.address("web:eth1", family)))
        #expect(oneWay.symmetric == .notApplicable && oneWay.undecidedBecause == "", "\(oneWay)")
        #expect(oneWay.forward.path == ["h1", "a", "b", "c", "web"] && oneWay.return.path == [], "\(oneWay)")
      }
    }

    @Test("the same flow by the same links both ways is symmetric, until one direction is led astray")
    func symmetric() throws {
      try lab.route("c", to: lab.subnets(1), via: "b:eth1")
      try lab.route("b", to: lab.subnets(1), via: "a:eth1")
      let running = traffic(lab, engine, 1, .icmp)
      let before = look(lab, milliseconds: 800, filter: "icmp")
      #expect(before.flow(1, lab.address("web:eth1"))?.symmetric == .yes, "\(before)")
      try lab.route("c", to: lab.subnets(1), via: "a:eth2")
      let after = look(lab, milliseconds: 800, filter: "icmp")
      #expect(after.flow(1, lab.address("web:eth1"))?.symmetric == .no, "\(after)")
      engine.stopAll()
      _ = try running.result()
    }

    @Test("a filter that does not compile, and times that cannot be, are refused with the reason")
    func refusals() {
      #expect(look(lab, milliseconds: 100, filter: "tcp prot 80").error.contains("tcp prot 80"))
      #expect(look(lab, milliseconds: 0).error.contains("0 ms"))
      #expect(look(lab, milliseconds: 100, limit: 20_000).error.contains("20000 flows"))
    }

    @Test("flows beyond the limit are counted, the largest are shown")
    func limit() throws {
      let running = (1...6).map {
        traffic(lab, engine, UInt64($0), .udp, pps: UInt32(20 * $0), port: UInt32(6000 + $0))
      }
      let reply = look(lab, milliseconds: 800, filter: "udp", limit: 2)
      engine.stopAll()
      for one in running { _ = try one.result() }
      #expect(reply.flows.map(\.serverPort) == [6006, 6005], "\(reply.flows.map(\.serverPort))")
      #expect(reply.flowsOverLimit == 4)
    }
  }
}

/// h1 - r1 - r2 - web, where r1 translates.
extension NamespaceTests {
  @Suite struct TranslatedFlowsTests {
    @Test(
      "a flow behind masquerading is one flow, joined at the router that rewrites it",
      arguments: [NLProtocol.tcp, .icmp])
    func masqueraded(_ proto: NLProtocol) throws {
      let lab = try NamespaceLab(["h1:eth1-r1:eth0", "r1:eth1-r2:eth0", "r2:eth1-web:eth1"], hosts: ["h1", "web"])
      let engine = TrafficEngine()
      try lab.route("h1", via: "r1:eth0")
      try lab.route("r1", via: "r2:eth0")
      try lab.route("web", via: "r2:eth1")
      try lab.run(
        "r1",
        "nft add table ip n; nft \"add chain ip n s { type nat hook postrouting priority 100; }\"; nft add rule ip n s oifname eth1 masquerade"
      )
      let running = traffic(lab, engine, 1, proto)
      let reply = look(lab, milliseconds: 1000)
      engine.stopAll()
      let sent = try running.result()
      #expect(sent.reachable && sent.error == "", "\(sent)")
      let flow = try #require(reply.flow(proto == .tcp ? 6 : 1, lab.address("web:eth1")), "\(reply)")
      #expect(reply.flows.count == 1, "\(reply.flows)")
      #expect(flow.client == lab.address("h1:eth1") && flow.symmetric == .yes && flow.undecidedBecause == "", "\(flow)")
      #expect(
        flow.forward.path == ["h1", "r1", "r2", "web"] && flow.return.path == ["web", "r2", "r1", "h1"], "\(flow)")
      let nat = try #require(flow.forward.hops.first { $0.node == "r1" }?.nat)
      #expect(nat.sourceTo.hasPrefix(lab.address("r1:eth1")) && nat.destinationTo == "", "\(flow)")
    }
  }
}
