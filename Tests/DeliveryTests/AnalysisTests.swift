import NorthboundAPI
import Testing

@testable import Delivery
@testable import Topology

@Suite struct AnalysisTests {
  private func analysis(_ network: PipelineNetworkAnalysis? = nil) -> PipelineAnalysis {
    PipelineAnalysis(
      minimumRequests: 10, successRate: PipelineThreshold(.atLeast, 99, .percent),
      p99: PipelineThreshold(.atMost, 200, .milliseconds),
      regression: PipelineRegression(successRate: 1, p99: 2), network: network)
  }

  private func measure(_ name: String, new: VersionView, running: VersionView) throws -> StepJudgement.Measure {
    let network = PipelineNetworkAnalysis(
      pathUnchanged: true, loss: PipelineThreshold(.atMost, 0.1, .percent),
      retransmissions: PipelineThreshold(.atMost, 1, .percent), queueing: PipelineThreshold(.atMost, 20, .milliseconds))
    let measures = StepJudge(analysis: analysis(network)).judge(new: new, running: running)
    return try #require(measures.first { $0.name == name })
  }

  @Test func aRegressionIsJudgedWithoutAThreshold() throws {
    var analysis = PipelineAnalysis(
      minimumRequests: 10, successRate: nil, p99: nil, regression: PipelineRegression(successRate: 1, p99: 2),
      network: nil)
    #expect(!analysis.judges)
    (analysis.comparesSuccessRate, analysis.comparesP99) = (true, true)
    #expect(analysis.judges)
    func verdicts(_ new: VersionView, _ running: VersionView) -> [StepJudgement.Verdict] {
      StepJudge(analysis: analysis).judge(new: new, running: running).map(\.verdict)
    }
    #expect(verdicts(.of(100), .of(100)) == [.holds, .holds])
    #expect(verdicts(.of(100, failures: 5, milliseconds: 400), .of(100)) == [.violated, .violated])
    // Nothing to compare with is no data, on either side.
    #expect(verdicts(.of(100), .of(3)) == [.noData, .noData])
    #expect(verdicts(.of(3), .of(100)) == [.noData, .noData])
  }

  @Test func trafficOfAWindowIsTheDifferenceOfTwoReadings() {
    func edge(_ version: String, _ requests: UInt64, _ failures: UInt64 = 0, from: String = "client") -> MeshEdge {
      MeshEdge(from: from, to: "web", version: version, reporter: "client", requests: requests, failures: failures)
    }
    let windows = VersionTraffic.between(
      [edge("blue", 100, 1), edge("green", 10)],
      [edge("blue", 190, 4), edge("green", 20), edge("green", 5, from: "shop"), edge("", 2, 2)], of: "web",
      moving: "green")
    #expect(windows["blue"] == VersionTraffic(requests: 90, failures: 3, latency: MeshLatency()))
    // What reached no version at all is held against the one that moves.
    #expect(windows["green"]?.requests == 17 && windows["green"]?.failures == 2)
  }

  @Test(arguments: [(0, .holds), (1, .holds), (2, .violated)] as [(UInt64, StepJudgement.Verdict)])
  func theSuccessRateIsAtLeastTheThreshold(_ failures: UInt64, _ verdict: StepJudgement.Verdict) throws {
    let found = try measure("success-rate", new: .of(100, failures: failures), running: .of(100, failures: failures))
    #expect(found.verdict == verdict && found.measured == "\(100 - failures)%" && found.threshold == ">= 99%")
  }

  @Test func belowTheRunningVersionIsARegression() throws {
    let running = VersionView.of(1000)
    var new = VersionView.of(1000, failures: 9)
    #expect(try measure("success-rate", new: new, running: running).verdict == .holds)
    let strict = PipelineAnalysis(
      minimumRequests: 10, successRate: PipelineThreshold(.atLeast, 90, .percent), p99: nil,
      regression: PipelineRegression(successRate: 1, p99: 2), network: nil)
    new = .of(1000, failures: 11)
    let found = StepJudge(analysis: strict).judge(new: new, running: running)[0]
    #expect(found.verdict == .violated && found.detail == "1.1 points below the running version, 1 are allowed")
  }

  @Test func slowerThanTheRunningVersionIsARegressionUnlessItIsNothing() throws {
    let slow = try measure("p99", new: .of(100, milliseconds: 100), running: .of(100, milliseconds: 40))
    #expect(slow.verdict == .violated && slow.detail == "2.5 times the running version's, 2 are allowed")
    #expect(try measure("p99", new: .of(100, milliseconds: 10), running: .of(100, milliseconds: 1)).verdict == .holds)
    #expect(try measure("p99", new: .of(100, milliseconds: 70), running: .of(100, milliseconds: 40)).verdict == .holds)
  }

  @Test func withoutARunningVersionOnlyTheThresholdCounts() throws {
    let found = try measure("p99", new: .of(100, milliseconds: 150), running: VersionView())
    #expect(found.verdict == .holds && found.running == nil)
  }

  @Test func fewRequestsAreNoData() throws {
    let found = try measure("success-rate", new: .of(9, failures: 9), running: .of(100))
    #expect(found.verdict == .noData && found.measured == "no data")
  }

  @Test func aConnectionOfItsOwnThroughAnotherSystemIsAChange() throws {
    var (new, running) = (VersionView.of(100), VersionView.of(100))
    running.network.crossed = ["its own connections": [64500, 64496]]
    new.network.crossed = ["its own connections": [64500, 64497]]
    let found = try measure("path", new: new, running: running)
    #expect(found.verdict == .violated && found.measured == "changed")
    #expect(found.detail == "its own connections cross AS64497, the running version's AS64496, AS64500")
    new.network.crossed = ["its own connections": [64500]]
    #expect(try measure("path", new: new, running: running).verdict == .holds)
  }

  @Test func aWayThatNobodySawIsNoData() throws {
    var new = VersionView.of(100)
    new.network.ways = [:]
    new.network.undecided = "client to web-2: a capture lost packets"
    let found = try measure("path", new: new, running: .of(100))
    #expect(found.verdict == .noData && found.detail == "client to web-2: a capture lost packets")
  }

  @Test func lossRetransmissionsAndQueueingAreCompared() throws {
    var new = VersionView.of(100)
    new.network.packetsLost = 1
    new.network.segmentsSent = 1000
    new.network.segmentsRepeated = 5
    new.network.queueing = 30
    let running = VersionView.of(100)
    #expect(try measure("loss", new: new, running: running).verdict == .violated)
    #expect(try measure("loss", new: new, running: running).measured == "1%")
    #expect(try measure("retransmissions", new: new, running: running).measured == "0.5%")
    #expect(try measure("retransmissions", new: new, running: running).verdict == .holds)
    #expect(try measure("queueing", new: new, running: running).verdict == .violated)
    #expect(try measure("queueing", new: .of(100), running: running).verdict == .noData)
  }

  @Test func segmentsAreReadFromTheKernelsTable() throws {
    let text = """
      Ip: Forwarding DefaultTTL
      Ip: 1 64
      Tcp: RtoAlgorithm OutSegs RetransSegs InErrs
      Tcp: 1 500 7 0
      """
    let counts = try #require(LiveLab.segments(text))
    #expect(counts.sent == 500 && counts.repeated == 7)
    #expect(LiveLab.segments("Tcp: OutSegs\nTcp: 1\n") == nil)
  }

  @Test func waysAreSystemsInOrder() {
    let systems: [String: UInt32] = ["a": 1, "b": 1, "c": 2]
    #expect(ASWay(["client", "a", "b", "c", "a", "web"], systems: systems).systems == [1, 2, 1])
  }
}
