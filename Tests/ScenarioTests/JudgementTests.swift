import NorthboundAPI
import Testing
import Topology

@testable import Scenario

struct TraceJudgementTests {
  private func judge(_ text: String, _ trace: Trace) throws -> Outcome {
    guard case .trace(let step) = try step(text).action else { throw NotThatStep() }
    return step.judge(trace)
  }

  @Test func onlyWhatIsWrittenIsCompared() throws {
    let text = "- trace: {from: h1, to: isp1}\n  expect: {forward: [h1, customer, isp1]}"
    #expect(try judge(text, trace(forward: ["h1", "customer", "isp1"], back: ["isp1", "isp2", "h1"])) == .held)
  }

  @Test func aMismatchShowsBothPathsAsPeopleDrawThem() throws {
    let text = "- trace: {from: h1, to: isp1}\n  expect: {return: [isp1, customer, h1], symmetric: true}"
    let seen = trace(forward: ["h1", "customer", "isp1"], back: ["isp1", "isp2", "customer", "h1"], symmetric: false)
    #expect(
      try judge(text, seen)
        == .failed([
          Mismatch("return path", expected: "isp1 → customer → h1", found: "isp1 → isp2 → customer → h1"),
          Mismatch("symmetric", expected: "yes", found: "no"),
        ]))
  }

  @Test func withoutExpectationsATraceMustReach() throws {
    #expect(try judge("- trace: {from: h1, to: isp1}", trace(forward: ["h1"], reachable: false)) != .held)
    #expect(try judge("- trace: {from: h1, to: isp1}", trace(forward: ["h1", "customer", "isp1"])) == .held)
  }

  @Test func anIncompleteCaptureIsUndecidedEvenWhenEverythingElseMatches() throws {
    let text = "- trace: {from: h1, to: isp1}\n  expect: {reachable: true}"
    guard case .undecided = try judge(text, trace(forward: ["h1"], complete: false)) else {
      Issue.record("a capture with drops must not decide")
      return
    }
    #expect(try judge(text, trace(forward: ["h1"], undecided: "two matches left")) == .undecided("two matches left"))
  }

  @Test func symmetryCannotBeExpectedWhereThereIsNoWayBack() throws {
    let text = "- trace: {from: h1, to: isp1}\n  expect: {symmetric: true}"
    #expect(
      try judge(text, trace(forward: ["h1"], reachable: false))
        == .failed([Mismatch("symmetric", expected: "yes", found: "there is no return path")]))
  }
}

struct RouteJudgementTests {
  private let prefix = "198.51.100.0/24"

  private func judge(_ expectation: String, bgp: [BGPRoute]?, kernel: [KernelRoute]) throws -> Outcome {
    guard
      case .route(let step) = try step("- route: {node: customer, prefix: \(prefix)}\n  expect: {\(expectation)}")
        .action
    else { throw NotThatStep() }
    return step.judge(
      table: bgp.map { BGPTable(node: "customer", total: UInt64($0.count), routes: $0) }, kernel: kernel)
  }

  @Test func presentMeansBestInLocRIBAndInTheKernel() throws {
    let best = path(prefix, via: "isp1", asPath: [64496])
    #expect(try judge("present: true", bgp: [best], kernel: [kernelRoute(prefix, via: "isp1")]) == .held)
    #expect(
      try judge("present: true", bgp: [best], kernel: [])
        == .failed([
          Mismatch("route \(prefix)", expected: "present", found: "best in Loc-RIB, but not in the kernel")
        ]))
    #expect(try judge("present: false", bgp: [], kernel: []) == .held)
  }

  @Test func aMoreSpecificPrefixIsAnotherRoute() throws {
    let inside = path("198.51.100.0/25", via: "isp1", asPath: [64496])
    #expect(
      try judge("present: false", bgp: [inside], kernel: [kernelRoute("198.51.100.0/25", via: "isp1")]) == .held)
  }

  @Test func anUnusablePathIsNamedWithItsReason() throws {
    let outcome = try judge(
      "present: true", bgp: [path(prefix, best: false, via: "isp1", unusable: "next hop unreachable")], kernel: [])
    #expect(
      outcome
        == .failed([
          Mismatch(
            "route \(prefix)", expected: "present", found: "no usable path (from isp1: next hop unreachable)")
        ]))
  }

  @Test func theASPathIsComparedWholeAndInOrder() throws {
    let routes = [path(prefix, via: "isp1", asPath: [64496, 64497])]
    let kernel = [kernelRoute(prefix, via: "isp1")]
    #expect(try judge("as-path: [64496, 64497]", bgp: routes, kernel: kernel) == .held)
    #expect(
      try judge("as-path: [64497]", bgp: routes, kernel: kernel)
        == .failed([Mismatch("AS path", expected: "64497", found: "64496 64497")]))
  }

  @Test func aNextHopGoesByItsNodeOrByItsAddress() throws {
    let routes = [path(prefix, via: "isp1", address: "10.0.0.1")]
    #expect(try judge("next-hop: isp1", bgp: routes, kernel: []) == .held)
    #expect(try judge("next-hop: 10.0.0.1", bgp: routes, kernel: []) == .held)
    #expect(try judge("next-hop: isp2", bgp: routes, kernel: []) != .held)
  }

  @Test func nextHopsAreAllThatMultipathInstalled() throws {
    let routes = [
      path(prefix, via: "isp1"), path(prefix, best: false, multipath: true, via: "isp2"),
      path(prefix, best: false, via: "plain"),
    ]
    #expect(try judge("next-hops: [isp2, isp1]", bgp: routes, kernel: []) == .held)
    #expect(
      try judge("next-hop: isp1", bgp: routes, kernel: [])
        == .failed([Mismatch("next hop", expected: "isp1", found: "isp1, isp2")]))
  }

  @Test func theReasonIsThatOfTheBestPath() throws {
    let routes = [
      path(prefix, best: false, via: "isp2", because: "as-path-length"),
      path(prefix, via: "isp1", because: "local-pref"),
    ]
    #expect(try judge("best-because: local-pref", bgp: routes, kernel: []) == .held)
    #expect(try judge("best-because: as-path-length", bgp: routes, kernel: []) != .held)
  }

  @Test func aNodeWithoutASpeakerIsJudgedByItsKernel() throws {
    #expect(try judge("present: true, next-hop: isp1", bgp: nil, kernel: [kernelRoute(prefix, via: "isp1")]) == .held)
  }
}

struct SessionJudgementTests {
  private func judge(_ neighbor: String, _ sessions: [(String, String, String)], interface: String?) throws -> Outcome {
    let text = "- session: {node: customer, neighbor: \"\(neighbor)\"}\n  expect: {state: established}"
    guard case .session(let step) = try step(text).action else { throw NotThatStep() }
    let status = Status(
      lab: "small", pid: 1, controller: ControllerStatus(pid: 2, state: "running"), converged: true, convergedBy: nil,
      convergedAfterMs: nil, notConverged: [], version: 1, nodes: [],
      sessions: sessions.map {
        SessionStatus(
          node: "customer", neighbor: $0.0, state: $0.2, prefixesReceived: 0, prefixesSent: 0, interface: $0.1,
          neighborAddress: "10.0.0.1", lastError: $0.2 == "idle" ? "Cease" : nil)
      }, links: [], warnings: [])
    return step.judge(status, localInterface: interface)
  }

  @Test func everySessionWithTheNeighborMustBeInTheState() throws {
    #expect(try judge("isp1", [("isp1", "eth1", "established"), ("isp2", "eth2", "idle")], interface: nil) == .held)
    #expect(
      try judge("isp1", [("isp1", "eth1", "established"), ("isp1", "eth5", "idle")], interface: nil)
        == .failed([Mismatch("session customer – isp1", expected: "established", found: "idle (Cease)")]))
  }

  @Test func theLastErrorOfAnEstablishedSessionIsOfAnEarlierConnection() throws {
    let text = "- session: {node: customer, neighbor: isp1}\n  expect: {state: idle}"
    guard case .session(let step) = try step(text).action else { throw NotThatStep() }
    let status = Status(
      lab: "small", pid: 1, controller: ControllerStatus(pid: 2, state: "running"), converged: true, convergedBy: nil,
      convergedAfterMs: nil, notConverged: [], version: 1, nodes: [],
      sessions: [
        SessionStatus(
          node: "customer", neighbor: "isp1", state: "established", prefixesReceived: 0, prefixesSent: 0,
          interface: "eth1", neighborAddress: "10.0.0.1", lastError: "link down")
      ], links: [], warnings: [])
    #expect(
      step.judge(status, localInterface: nil)
        == .failed([Mismatch("session customer – isp1", expected: "idle", found: "established")]))
  }

  @Test func aFarInterfacePicksOneOfSeveralSessions() throws {
    let sessions = [("isp1", "eth1", "established"), ("isp1", "eth5", "idle")]
    #expect(try judge("isp1:eth7", sessions, interface: "eth1") == .held)
    #expect(try judge("isp1:eth7", sessions, interface: "eth5") != .held)
  }

  @Test func aSessionThatDoesNotExistFails() throws {
    #expect(try judge("isp1", [], interface: nil) != .held)
  }
}

struct TransitJudgementTests {
  private func judge(_ result: NoTransitResult) throws -> Outcome {
    guard case .noTransit(let step) = try step("- no-transit: customer").action else { throw NotThatStep() }
    return step.judge(result)
  }

  private func result(holds: Bool, leaks: [LeakedRoute] = [], transits: [Trace] = [], undecided: String? = nil)
    -> NoTransitResult
  {
    NoTransitResult(holds: holds, undecided: undecided, asn: 64500, leaks: leaks, transits: transits, traced: 2)
  }

  @Test func packetsAndRoutesThatCrossTheASAreNamed() throws {
    let outcome = try judge(
      result(
        holds: false,
        leaks: [LeakedRoute(node: "isp1", prefix: "198.51.100.0/24", asPath: [64500, 64497], best: true)],
        transits: [trace(forward: ["isp1", "customer", "isp2"], back: ["isp2", "isp1"])]))
    #expect(
      outcome
        == .failed([
          Mismatch(
            "packets isp1 → isp2", expected: "AS 64500 is nobody's transit", found: "they took isp1 → customer → isp2"),
          Mismatch(
            "route 198.51.100.0/24 at isp1", expected: "AS 64500 is nobody's transit",
            found: "AS path 64500 64497, and it is the best"),
        ]))
  }

  @Test func aCheckThatCouldNotDecideIsNoPass() throws {
    #expect(try judge(result(holds: true, undecided: "drops")) == .undecided("drops"))
    #expect(try judge(result(holds: true)) == .held)
    #expect(try judge(result(holds: false)) != .held)
  }
}

struct ExecJudgementTests {
  private func judge(_ expectation: String, exit: Int32 = 0, output: String, timedOut: Bool = false) throws -> Outcome {
    let text = "- exec: {node: h1, command: \"true\"}\n  expect: {\(expectation)}"
    guard case .exec(let step) = try step(text).action else { throw NotThatStep() }
    return step.judge(ExecResult(exit: exit, output: output, errorOutput: "", timedOut: timedOut))
  }

  @Test func aPlainStringMustBeContained() throws {
    #expect(try judge("output: \"listing\"", output: "Directory listing for /") == .held)
    #expect(try judge("output: \"l.sting\"", output: "Directory listing for /") != .held)
  }

  @Test func betweenSlashesStandsARegularExpression() throws {
    #expect(try judge("output: \"/l.sting/\"", output: "Directory listing for /") == .held)
    #expect(try judge("output: \"/^b$/\"", output: "a\nb\nc") == .held)
    #expect(try judge("output: \"/^z/\"", output: "a\nb\nc") != .held)
  }

  @Test func theExitCodeIsComparedAlone() throws {
    #expect(try judge("exit: 7", exit: 7, output: "") == .held)
    #expect(try judge("exit: 7", exit: 0, output: "") == .failed([Mismatch("exit code", expected: "7", found: "0")]))
  }

  @Test func aCommandThatDoesNotEndFails() throws {
    #expect(try judge("exit: 0", output: "", timedOut: true) != .held)
  }
}

struct NotThatStep: Error {}
