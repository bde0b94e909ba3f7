import NetTypes
import NorthboundAPI
import Testing
import Topology

@testable import Scenario

/// Steps about what nodes do with packets, judged on recorded answers.
struct NATJudgementTests {
  private func judge(_ result: NATResult, _ expect: (inout NATStep) -> Void = { _ in }) -> Outcome {
    var step = NATStep(node: "customer", from: "h1", to: "isp1")
    expect(&step)
    return step.judge(result)
  }

  private func result(
    source: Rewrite? = nil, destination: Rewrite? = nil, known: Bool = true, _ seen: Trace? = nil
  ) -> NATResult {
    let tuple = ConnectionTuple(
      source: "192.168.1.2", destination: "198.51.100.2", sourcePort: nil, destinationPort: nil, packets: 1, bytes: 84)
    let entry = ConnectionEntry(
      proto: "icmp", state: nil, status: ["confirmed"], original: tuple, reply: tuple, nat: nil, timeout: 30, zone: nil,
      mark: nil)
    let seen = seen ?? trace(forward: ["h1", "customer", "isp1"])
    return NATResult(
      reachable: seen.reachable, source: source, destination: destination, connection: known ? entry : nil, trace: seen)
  }

  private let toPublic = Rewrite(from: "192.168.1.2", to: "203.0.113.10")

  @Test func theAddressWrittenInsteadIsFoundAtEitherEnd() throws {
    let expected = try #require(IPAddress("203.0.113.10"))
    #expect(judge(result(source: toPublic)) { $0.translated = expected } == .held)
    #expect(judge(result(destination: toPublic)) { $0.translated = expected } == .held)
    #expect(judge(result(source: toPublic)) { $0.source = expected } == .held)
    #expect(
      judge(result(source: toPublic)) { $0.destination = expected }
        == .failed([
          Mismatch("destination", expected: "203.0.113.10", found: "source 192.168.1.2 → 203.0.113.10")
        ]))
  }

  @Test func addressesAreComparedAsValues() throws {
    let written = try #require(IPAddress("2001:db8:0:0::1"))
    let long = Rewrite(from: "fd00::2", to: "2001:0db8:0000:0000:0000:0000:0000:0001")
    #expect(judge(result(source: long)) { $0.translated = written } == .held)
  }

  @Test func anotherAddressIsAFailureThatShowsIt() throws {
    let expected = try #require(IPAddress("203.0.113.11"))
    #expect(
      judge(result(source: toPublic)) { $0.translated = expected }
        == .failed([Mismatch("translated", expected: "203.0.113.11", found: "source 192.168.1.2 → 203.0.113.10")]))
    #expect(
      judge(result()) { $0.translated = expected }
        == .failed([Mismatch("translated", expected: "203.0.113.11", found: "not translated")]))
  }

  @Test func aStepThatExpectsNothingExpectsATranslation() {
    #expect(judge(result(source: toPublic)) == .held)
    #expect(
      judge(result(known: false))
        == .failed([
          Mismatch("translated", expected: "an address", found: "customer has no connection entry of the flow")
        ]))
  }

  @Test func untouchedNeedsAFlowThatPassedTheNode() {
    #expect(judge(result()) { $0.untouched = true } == .held)
    #expect(judge(result(known: false)) { $0.untouched = true } == .held)
    let elsewhere = result(known: false, trace(forward: ["h1", "isp1"]))
    #expect(
      judge(elsewhere) { $0.untouched = true }
        == .failed([
          Mismatch("translated", expected: "the flow passes customer as it is", found: "it does not pass customer")
        ]))
    #expect(judge(result(source: toPublic)) { $0.untouched = true } != .held)
  }

  @Test func anIncompleteCaptureIsUndecided() {
    let seen = trace(forward: ["h1", "customer"], complete: false)
    #expect(judge(result(source: toPublic, seen)) == .undecided("the capture is not complete"))
  }
}

struct RateJudgementTests {
  private func judge(_ result: RateResult, _ expect: (inout RateStep) -> Void) -> Outcome {
    var step = RateStep(from: "h1", to: "web", transport: .tcp, milliseconds: 10_000)
    expect(&step)
    return step.judge(result)
  }

  @Test func theRateMustBeInTheRange() {
    #expect(judge(measured(9.6)) { ($0.minimum, $0.maximum) = (9, 10) } == .held)
    #expect(
      judge(measured(11.234)) { ($0.minimum, $0.maximum) = (9, 10) }
        == .failed([Mismatch("rate", expected: "9.00 to 10.00 Mbit/s", found: "11.23 Mbit/s")]))
    #expect(judge(measured(8.9)) { $0.minimum = 9 } != .held)
    #expect(judge(measured(10.1)) { $0.maximum = 10 } != .held)
  }

  @Test func shapingAndPolicingAreNotTheSame() {
    #expect(judge(measured(9.6, .shaping)) { $0.limitedBy = .shaping } == .held)
    #expect(
      judge(measured(9.6, .shaping)) { $0.limitedBy = .policing }
        == .failed([
          Mismatch("limited by", expected: "policing", found: "shaping at customer:eth1 (the queue grew)")
        ]))
  }

  @Test func whatTheCapturesDoNotTellIsUndecidedButTheReceiversCountStands() {
    var result = measured(9.6, nil)
    result.undecided = "neither loss nor delay"
    #expect(judge(result) { $0.limitedBy = .shaping } == .undecided("neither loss nor delay"))
    #expect(judge(result) { $0.minimum = 9 } == .held)
    #expect(judge(result) { ($0.minimum, $0.limitedBy) = (10, .shaping) } != .undecided("neither loss nor delay"))
  }

  @Test func aCaptureWithDropsTellsNothingOfWhatLimitedIt() {
    var result = measured(9.6, .shaping, delay: 1)
    result.complete = false
    #expect(judge(result) { $0.limitedBy = .shaping } == .undecided("the capture is not complete"))
    #expect(judge(result) { $0.maximumDelay = 5 } == .undecided("the capture is not complete"))
  }

  @Test func theMedianDelayIsCompared() {
    #expect(judge(measured(1, delay: 4.9)) { $0.maximumDelay = 5 } == .held)
    #expect(
      judge(measured(1, delay: 8)) { $0.maximumDelay = 5 }
        == .failed([
          Mismatch("delay", expected: "a median of at most 5.0 ms", found: "8.0 ms (99 %: 16.0 ms)")
        ]))
    #expect(judge(measured(1)) { $0.maximumDelay = 5 } == .undecided("no packet was seen at both ends"))
  }

  @Test func nothingReceivedIsNeverAPass() {
    #expect(judge(measured(0)) { _ in } != .held)
    var silent = measured(0)
    silent.reachable = false
    #expect(judge(silent) { $0.maximum = 10 } != .held)
  }
}

func measured(_ mbit: Double, _ limitedBy: RateResult.LimitedBy? = .shaping, delay: Double? = nil) -> RateResult {
  RateResult(
    reachable: true, mbit: mbit, bytes: UInt64(mbit * 1.25e6), seconds: 10, packetsSent: 100, packetsReceived: 98,
    retransmits: 2, limitedBy: limitedBy, because: "the queue grew", place: "customer:eth1", intervals: [],
    delay: delay.map { DelaySummary(min: $0 / 2, median: $0, p99: $0 * 2) }, complete: true, undecided: nil,
    capture: nil)
}

struct ChangeJudgementTests {
  private func step(_ expect: (inout ChangeStep) -> Void = { _ in }) -> ChangeStep {
    var step = ChangeStep(file: "change.yaml", text: "{}")
    expect(&step)
    return step
  }

  private let refusal = APIError(
    code: "refused", message: "customer: no kernel support for htb (change.yaml:4:9: shape eth1 10mbit)")

  @Test func theNodesThatChangeAreExactlyTheseInAnyOrder() {
    let result = changed(version: 2, nodes: "customer", "isp1")
    #expect(step { $0.nodes = ["isp1", "customer"] }.judge(result) == .held)
    #expect(
      step { $0.nodes = ["customer"] }.judge(result)
        == .failed([Mismatch("nodes that change", expected: "customer", found: "customer, isp1")]))
    #expect(step { $0.nodes = [] }.judge(changed(version: 1, applied: false).plan) == .held)
  }

  @Test func anExpectedRefusalHoldsAndItsWordsAreCompared() {
    #expect(step { $0.applied = false }.judge(refusal) == .held)
    #expect(step { $0.refusal = "change.yaml:4:9" }.judge(refusal) == .held)
    #expect(
      step { $0.refusal = "isp1" }.judge(refusal)
        == .failed([Mismatch("refusal", expected: "contains \"isp1\"", found: refusal.message)]))
  }

  @Test func theMistakesOfTheFileAreWordsOfTheRefusal() {
    let invalid = APIError(
      code: "invalid-file", message: "the change has errors", diagnostics: ["change.yaml:2:3: error: no node isp9"])
    #expect(step { $0.refusal = "no node isp9" }.judge(invalid) == .held)
    #expect(step().judge(invalid) != .held)
  }

  @Test func aChangeThatShouldHaveBeenRefusedIsAFailure() {
    #expect(
      step { $0.applied = false }.judge(changed(version: 2, nodes: "customer"))
        == .failed([Mismatch("apply", expected: "refused", found: "applied as version 2: customer")]))
    #expect(step { $0.refusal = "x" }.judge(changed(version: 2, nodes: "customer").plan) != .held)
  }

  @Test func aControllerInTroubleHasRefusedNothing() {
    #expect(step { $0.applied = false }.judge(APIError(code: "internal", message: "disk full")) == nil)
  }
}
