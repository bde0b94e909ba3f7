import ControlProtocol
import NetTypes
import SwiftProtobuf
import Testing
import Topology

@testable import Intent

@Suite("What a speaker is told")
struct SpeakerTests {
  private let directory: String

  init() throws { directory = try directoryWithBirdConfiguration() }

  private let written = """
    name: two
    topology:
      nodes:
        customer:
          kind: router
          asn: 64500
          networks: [203.0.113.0/24]
          loopback: [10.255.0.9/32]
          bgp:
            multipath: 4
            neighbors:
              isp1: {import: prefer, export: reject, md5: s3cret, max-prefix: 1000, allow-own-as: 1,
                     remove-private-as: all}
        isp1: {kind: router, asn: 64496}
        edge: {kind: bird, asn: 64498, config: bird.conf}
      links:
        - {endpoints: ["customer:eth1", "isp1:eth1"], relation: customer-provider, addresses: [[10.0.0.1/30], [10.0.0.2/30]]}
        - {endpoints: ["isp1:eth2", "edge:eth1"], relation: open, addresses: [[10.9.0.1/30], [10.9.0.2/30]]}
    policies:
      prefer: [{match: {community: ["65001:*"]}, set: {local-pref: 200, prepend: {asn: 64512, times: 3}}}]
      unused: [{then: accept}]
    """

  @Test("both ends of a link get the session, each from its side")
  func bothEnds() throws {
    let intent = LabIntent(try lab(written, in: directory))
    let customer = try #require(intent.speakerConfig(of: "customer"))
    #expect(customer.asn == 64500)
    #expect(customer.routerID == 0x0AFF_0009)
    #expect(customer.multipath == 4)
    #expect(customer.fib)
    #expect(!customer.openListener)
    let near = try #require(customer.neighbors.first)
    #expect(customer.neighbors.count == 1)
    #expect(near.name == "isp1")
    #expect(Array(near.address) == [10, 0, 0, 2])
    #expect(Array(near.localAddress) == [10, 0, 0, 1])
    #expect(near.asn == 64496)
    #expect(near.interface == "eth1")
    #expect(near.relation == .customer)
    #expect(near.roles)
    #expect(near.importPolicy == "prefer")
    #expect(near.exportPolicy == "reject")
    #expect(near.md5 == "s3cret")
    #expect(near.maxPrefix == 1000)
    #expect(near.allowOwnAs == 1)
    #expect(near.removePrivateAs == .all)
    #expect((near.keepalive, near.hold, near.connectRetryMs) == (3, 9, 1000))
    #expect(!near.daemon)

    let isp = try #require(intent.speakerConfig(of: "isp1"))
    let far = try #require(isp.neighbors.first { $0.name == "customer" })
    #expect(far.relation == .provider)
    #expect(far.importPolicy.isEmpty)
    #expect(isp.neighbors.first { $0.name == "edge" }?.daemon == true)
    #expect(intent.speakerConfig(of: "edge") == nil)
  }

  @Test("only the policies that a neighbor names are sent, statements resolved")
  func policies() throws {
    let customer = try #require(LabIntent(try lab(written, in: directory)).speakerConfig(of: "customer"))
    #expect(customer.policies.map(\.name) == ["prefer"])
    let statement = try #require(customer.policies.first?.statements.first)
    #expect(statement.then == .next)
    #expect(statement.set.localPref == 200)
    #expect((statement.set.prependAsn, statement.set.prependTimes) == (64512, 3))
    let community = try #require(statement.match.communities.first)
    #expect((community.anyHigh, community.high, community.anyLow) == (false, 65001, true))
  }

  @Test("expected sessions name their far end, a real daemon has none that reports")
  func expected() throws {
    let intent = LabIntent(try lab(written, in: directory))
    let sessions = intent.expectedSessions(during: .none)
    #expect(sessions.map(\.node).sorted() == ["customer", "isp1", "isp1"])
    for session in sessions where !session.isDaemon {
      let far = try #require(sessions.first { $0.key == session.farKey && $0.node == session.neighbor })
      #expect(far.farKey == session.key)
    }
    #expect(sessions.first(where: \.isDaemon)?.neighbor == "edge")
    #expect(intent.expectedSessions(during: Outage(links: [0])).map(\.neighbor) == ["edge"])
    #expect(intent.expectedSessions(during: Outage(nodes: ["isp1"])).isEmpty)
    #expect(intent.brokenSessions(during: .none).isEmpty)
    #expect(intent.brokenSessions(during: Outage(links: [0])).map(\.node) == ["customer", "isp1"])
    #expect(intent.brokenSessions(during: Outage(nodes: ["isp1"])).map(\.node) == ["customer"])
  }

  @Test("the machine is told kinds, addresses, sysctls and who runs an agent")
  func plan() throws {
    let context = PlanContext(environment: ["A=b"], machine: "here", programs: "/bin", topology: "/run/x/topology.yaml")
    let plan = machinePlan(of: try lab(written, in: directory), in: context)
    #expect(plan.lab == "two")
    #expect(plan.baseDirectory == directory)
    #expect((plan.environment, plan.machine, plan.programs) == (["A=b"], "here", "/bin"))
    let nodes = Dictionary(uniqueKeysWithValues: plan.nodes.map { ($0.name, $0) })
    #expect(nodes["customer"]?.agent == true)
    #expect(nodes["customer"]?.listener == true)
    #expect(nodes["edge"]?.listener == false)
    #expect(nodes["edge"]?.daemon.config == directory + "/bird.conf")
    #expect(nodes["customer"]?.sysctls["net.ipv4.conf.all.rp_filter"] == "0")
    let link = try #require(plan.links.first)
    #expect((link.a.node, link.a.interface, link.b.node) == ("customer", "eth1", "isp1"))
    let address = try #require(link.a.addresses.first)
    #expect((Array(address.address), address.length) == ([10, 0, 0, 1], 30))
    #expect(link.permanentNeighbors)
  }

  @Test("the standalone speaker opens its own listener and writes routes only when asked")
  func standalone() throws {
    let parsed = SpeakerFile.parse(
      text: """
        asn: 65010
        router-id: 10.0.0.10
        networks: [198.51.100.0/24]
        neighbors: [{address: 10.0.0.1, asn: 65001, families: [ipv4, ipv6], import: accept, export: accept}]
        """, file: "speaker.yaml")
    let speaker = try #require(parsed.value, "\(parsed.diagnostics)")
    let config = speakerConfig(of: speaker)
    #expect((config.asn, config.routerID, config.fib, config.openListener) == (65010, 0x0A00_000A, false, true))
    let neighbor = try #require(config.neighbors.first)
    #expect((neighbor.name, neighbor.asn, neighbor.hold) == ("10.0.0.1", 65001, 90))
    #expect(neighbor.families == [.ipv4Unicast, .ipv6Unicast])
    #expect((neighbor.importPolicy, neighbor.exportPolicy) == ("accept", "accept"))
  }
}
