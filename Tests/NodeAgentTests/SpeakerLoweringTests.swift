import BGPCore
import BGPWire
import ControlProtocol
import FoundationEssentials
import NetTypes
import SwiftProtobuf
import Testing

@testable import NodeAgent

@Suite struct SpeakerLoweringTests {
  private func config(_ change: (inout NLSpeakerConfig) throws -> Void) rethrows -> NLSpeakerConfig {
    var config = NLSpeakerConfig()
    config.asn = 64500
    config.routerID = 0x0AFF_0001
    config.ipv4 = true
    config.ipv6 = true
    try change(&config)
    return config
  }

  private func neighbor(_ change: (inout NLNeighbor) -> Void = { _ in }) throws -> NLNeighbor {
    var neighbor = NLNeighbor()
    neighbor.name = "isp1"
    neighbor.session = "isp1:eth1/ipv4"
    neighbor.address = try #require(IPAddress("10.0.0.1")).data
    neighbor.asn = 64496
    neighbor.hold = 9
    change(&neighbor)
    return neighbor
  }

  @Test func `a neighbour's every word arrives`() throws {
    let message = try config { config in
      config.networks = [try prefix("203.0.113.0/24")]
      config.multipath = 4
      config.clusterID = 9
      config.policies = [NLPolicy.with { $0.name = "in" }]
      config.neighbors = [
        try neighbor { neighbor in
          neighbor.relation = .customer
          neighbor.roles = true
          neighbor.importPolicy = "in"
          neighbor.exportPolicy = "reject"
          neighbor.families = [.ipv6Unicast]
          neighbor.interface = "eth1"
          neighbor.md5 = "s3cret"
          neighbor.maxPrefix = 1000
          neighbor.gracefulRestart = 60
          neighbor.removePrivateAs = .replace
          neighbor.allowOwnAs = 2
          neighbor.ttlSecurity = true
          neighbor.daemon = true
        }
      ]
    }
    let lowered = try SpeakerConfiguration(message)
    #expect(lowered.table.networks.map(\.description) == ["203.0.113.0/24"])
    #expect(lowered.table.multipath == 4 && lowered.table.clusterID == 9 && lowered.restartTime == 120)
    let found = try #require(lowered.neighbors.first)
    #expect(found.peer.relation == .customer && found.peer.importPolicy == .named("in"))
    #expect(found.peer.exportPolicy == .reject && found.peer.privateASRemoval == .replace)
    #expect(found.families == .ipv6Unicast && found.transport.interface == "eth1" && found.isDaemon)
    #expect(found.transport.md5Key == "s3cret" && found.transport.ttlSecurity && found.gracefulRestart == 60)
    #expect(found.timers.holdSeconds == 9 && found.peer.maxPrefix == 1000 && found.peer.allowOwnAS == 2)
  }

  @Test func `a statement's match and set arrive, wildcards too`() throws {
    let policy = try Policy(
      NLPolicy.with { policy in
        policy.name = "p"
        policy.statements = [
          NLStatement.with { statement in
            statement.match.prefixes = [
              NLPrefixRange.with { range in
                range.prefix.address = .init([10, 0, 0, 0])
                range.prefix.length = 8
                range.ge = 16
                range.le = 24
              }
            ]
            statement.match.asPaths = ["^65001_"]
            statement.match.communities = [
              NLCommunityPattern.with {
                $0.high = 65001; $0.anyLow = true
              }
            ]
            statement.match.origins = [.originLocal]
            statement.set.localPref = 0
            statement.set.prependTimes = 3
            statement.set.replaceCommunities = NLCommunityList()
            statement.then = .reject
          }
        ]
      })
    let statement = try #require(policy.statements.first)
    #expect(statement.match.prefixes.map(\.ge) == [16] && statement.match.prefixes.map(\.le) == [24])
    #expect(statement.match.communities == [CommunityPattern(high: 65001, low: nil)])
    #expect(statement.match.origins == [.local] && statement.then == .reject)
    #expect(statement.set.localPref == 0 && statement.set.med == nil && statement.set.prependTimes == 3)
    #expect(statement.set.replaceCommunities == [])
  }

  @Test func `what cannot be is refused with its name`() throws {
    let cases: [(NLSpeakerConfig, String)] = [
      (config { $0.asn = 0 }, ""),
      (
        config {
          $0.networks = [
            NLPrefix.with {
              $0.address = .init([10, 0, 0, 1]); $0.length = 8
            }
          ]
        }, "networks"
      ),
      (try config { $0.neighbors = [try neighbor { $0.address = .init([1, 2, 3]) }] }, "neighbor isp1"),
      (try config { $0.neighbors = [try neighbor { $0.importPolicy = "nowhere" }] }, "neighbor isp1"),
      (try config { $0.neighbors = [try neighbor { $0.hold = 2 }] }, "neighbor isp1"),
      (try config { $0.neighbors = [try neighbor(), try neighbor()] }, "neighbor isp1"),
      (
        config { config in
          config.policies = [
            NLPolicy.with { policy in
              policy.name = "bad"
              policy.statements = [NLStatement.with { $0.match.asPaths = ["(("] }]
            }
          ]
        }, "policy bad"
      ),
    ]
    for (message, offender) in cases {
      let error = #expect(throws: Refusal.self) { try SpeakerConfiguration(message) }
      #expect(error?.offender == offender)
    }
  }
}
