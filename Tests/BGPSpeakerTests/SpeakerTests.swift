import BGPCore
import BGPWire
import EventLoop
import NetTypes
import Testing

@testable import BGPSpeaker

@Suite(.serialized) struct SpeakerTests {
  @Test(arguments: [AddressFamily.ipv4, .ipv6])
  func twoSpeakersExchangeRoutesOfBothFamilies(transport: AddressFamily) throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(transport, networks: ["192.0.2.0/24", "2001:db8:1::/48"], other: ["198.51.100.0/24"])
    #expect(try harness.settle(a, b))
    let all: Set = ["192.0.2.0/24", "2001:db8:1::/48", "198.51.100.0/24"]
    #expect(a.routes == all)
    #expect(b.routes == all)
    let (x, y) = (a.sample().sessions[0], b.sample().sessions[0])
    #expect(x.local == y.remote)
    #expect(x.remote == y.local)
    #expect(x.updatesSent == y.updatesProcessed)
    #expect(y.updatesSent == x.updatesProcessed)
    #expect(x.holdSeconds == 90)
    #expect(x.capabilities.contains("Graceful Restart"))
    #expect(x.flaps + y.flaps == 0)
  }

  @Test func aWithdrawnNetworkIsGoneAtTheNeighbor() throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(networks: ["192.0.2.0/24", "2001:db8:1::/48"])
    #expect(try harness.settle(a, b))
    try a.apply(harness.configuration(1, networks: ["192.0.2.0/24"], neighbors: [harness.neighbor(2, of: 1)]))
    #expect(try harness.run { b.routes == ["192.0.2.0/24"] })
    #expect(b.sample().sessions[0].flaps == 0)
  }

  @Test func theSameConfigurationAgainChangesNothing() throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(networks: ["192.0.2.0/24"])
    #expect(try harness.settle(a, b))
    let before = a.sample().activity
    try a.apply(harness.configuration(1, networks: ["192.0.2.0/24"], neighbors: [harness.neighbor(2, of: 1)]))
    for _ in 0..<5 { try harness.loop.step(timeout: 1_000_000) }
    #expect(a.sample().activity == before)
    #expect(a.states == [.established])
  }

  @Test func aChangedPolicyNeedsNoReset() throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(networks: ["192.0.2.0/24"])
    #expect(try harness.settle(a, b))
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2) { $0.peer.importPolicy = .reject }]))
    #expect(try harness.run { b.routes.isEmpty })
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2)]))
    #expect(try harness.run { b.routes == ["192.0.2.0/24"] })
    #expect(b.sample().sessions[0].flaps == 0)
  }

  @Test func aChangedTransportResetsThatSessionAlone() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    let b = try harness.speaker(2)
    let c = try harness.speaker(3)
    try a.apply(harness.configuration(1, neighbors: [harness.neighbor(2, of: 1), harness.neighbor(3, of: 1)]))
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2)]))
    try c.apply(harness.configuration(3, neighbors: [harness.neighbor(1, of: 3)]))
    #expect(try harness.settle(a, b, c))
    let changed = harness.neighbor(2, of: 1) { $0.transport.isPassive = true }
    try a.apply(harness.configuration(1, neighbors: [changed, harness.neighbor(3, of: 1)]))
    #expect(b.states == [.established])
    #expect(try harness.run { b.sample().sessions[0].flaps == 1 })
    #expect(try harness.settle(a, b, c))
    #expect(c.sample().sessions[0].flaps == 0)
    #expect(harness.events.contains { $0.hasPrefix("2 s1 down: received Cease/Other Configuration Change") })
  }

  @Test func aRemovedNeighborIsToldAndItsRoutesGo() throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(networks: ["192.0.2.0/24"])
    #expect(try harness.settle(a, b))
    try b.apply(harness.configuration(2))
    #expect(b.sample().sessions.isEmpty)
    #expect(try harness.run { b.routes.isEmpty && a.states != [.established] })
    #expect(harness.events.contains { $0.hasPrefix("1 s2 down: received Cease/Peer De-configured") })
  }

  @Test func aBadConfigurationIsRefusedWhole() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    let bad: [(inout NeighborConfiguration) -> Void] = [
      { $0.peer.asn = ASNumber(0) }, { $0.peer.importPolicy = .named("nothing") }, { $0.timers.holdSeconds = 2 },
      { $0.transport.md5Key = String(repeating: "x", count: 81) }, { $0.families = [] },
      { $0.transport.localAddress = .v6(IPv6Address(high: 0, low: 1)) },
    ]
    for adjust in bad {
      let configuration = harness.configuration(1, neighbors: [harness.neighbor(2, of: 1, .ipv4, adjust)])
      do {
        try a.apply(configuration)
        Issue.record("applied")
      } catch {
        #expect(error.offender == "neighbor s2")
      }
    }
    let twice = harness.configuration(1, neighbors: [harness.neighbor(2, of: 1), harness.neighbor(2, of: 1)])
    #expect(throws: SpeakerError.self) { try a.apply(twice) }
    #expect(a.sample().sessions.isEmpty)
  }

  @Test func stoppingTellsTheReason() throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(networks: ["192.0.2.0/24"])
    #expect(try harness.settle(a, b))
    var isDone = false
    a.stop(reason: "maintenance") { isDone = true }
    #expect(try harness.run { isDone && b.routes.isEmpty })
    let cease = "2 s1 down: received Cease/Administrative Shutdown: maintenance"
    #expect(harness.events.contains(cease))
  }

  @Test func aResetSessionComesBack() throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(networks: ["192.0.2.0/24"])
    #expect(try harness.settle(a, b))
    #expect(a.reset(neighbor: "s2"))
    #expect(!a.reset(neighbor: "nobody"))
    #expect(try harness.run { b.sample().sessions[0].flaps == 1 })
    #expect(try harness.settle(a, b))
    #expect(b.routes == ["192.0.2.0/24"])
  }

  @Test func aRefreshSendsTheRoutesAgain() throws {
    let harness = try SpeakerHarness()
    let (a, b) = try harness.pair(networks: ["192.0.2.0/24"])
    #expect(try harness.settle(a, b))
    let before = a.sample().sessions[0].updatesSent
    #expect(b.refresh(neighbor: "s1"))
    #expect(try harness.run { a.sample().sessions[0].updatesSent > before })
    #expect(try harness.settle(a, b))
  }

  @Test func aTableOfManyPrefixesArrivesWhole() throws {
    let harness = try SpeakerHarness()
    let networks = (0..<20_000).map { "10.\($0 >> 8 & 255).\($0 & 255).0/24" }
    let (a, b) = try harness.pair(networks: Array(Set(networks)).sorted())
    #expect(try harness.settle(a, b))
    #expect(b.sample().ribRoutes == Set(networks).count)
    #expect(a.sample().sessions[0].updatesSent < 200)  // packed
  }

  @Test func moreThanTheMostPrefixesEndTheSessionUntilTheLimitIsRaised() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    let b = try harness.speaker(2)
    let networks = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]
    try a.apply(harness.configuration(1, networks: networks, neighbors: [harness.neighbor(2, of: 1)]))
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2) { $0.peer.maxPrefix = 2 }]))
    #expect(try harness.run { b.states == [.idle] })
    #expect(b.routes.isEmpty)
    #expect(b.sample().sessions[0].lastError?.contains("Maximum Number of Prefixes Reached") == true)
    try b.apply(harness.configuration(2, neighbors: [harness.neighbor(1, of: 2) { $0.peer.maxPrefix = 3 }]))
    #expect(try harness.settle(a, b))
    #expect(b.routes.count == 3)
  }

  /// Cease/1 (RFC 4486) at once, not with the next route.
  @Test func aLimitThatIsLoweredBelowWhatIsHeldEndsTheSession() throws {
    let harness = try SpeakerHarness()
    let a = try harness.speaker(1)
    let b = try harness.speaker(2)
    let networks = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]
    try a.apply(harness.configuration(1, networks: networks, neighbors: [harness.neighbor(2, of: 1)]))
    let limit = { (limit: UInt32) in
      harness.configuration(2, neighbors: [harness.neighbor(1, of: 2) { $0.peer.maxPrefix = limit }])
    }
    try b.apply(limit(5))
    #expect(try harness.settle(a, b))
    try b.apply(limit(3))
    #expect(b.states == [.established])
    try b.apply(limit(2))
    #expect(b.states == [.idle])
    #expect(try harness.run { b.routes.isEmpty && a.states != [.established] })
    #expect(
      harness.events.contains { $0.hasPrefix("1 s2 down: received Cease/Maximum Number of Prefixes Reached") })
    try b.apply(limit(4))
    #expect(try harness.settle(a, b))
    #expect(b.routes.count == 3)
  }
}
