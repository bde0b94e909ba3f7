import NorthboundAPI
import Testing

@testable import netloom

struct PlanTextTests {
  private let plan = ChangePlan(
    version: 3,
    nodes: [
      NodeChanges(
        node: "edge",
        changes: [
          ObjectChange(action: .add, section: "nat", what: "masquerade out eth1", place: "change.yaml:4:9"),
          ObjectChange(action: .remove, section: "filter", what: "otherwise drop"),
        ]),
      NodeChanges(
        node: "isp",
        changes: [ObjectChange(action: .change, section: "qos", what: "shape eth1 20mbit", was: "shape eth1 10mbit")]),
    ], warnings: [])

  @Test func eachNodeHasItsChangesUnderItWithTheSectionsInAColumn() {
    #expect(
      PlanText(plan, palette: Palette(color: false)).lines == [
        "edge",
        "  + nat     masquerade out eth1  change.yaml:4:9",
        "  - filter  otherwise drop",
        "isp",
        "  ~ qos  shape eth1 20mbit  (was: shape eth1 10mbit)",
      ])
  }

  @Test func theSummaryCountsOnlyWhatThereIs() {
    let text = PlanText(plan, palette: Palette(color: false))
    #expect(text.summary() == "2 nodes: 1 to add, 1 to remove, 1 to change")
    #expect(text.summary(done: true) == "2 nodes: 1 added, 1 removed, 1 changed")
    let one = ChangePlan(version: 1, nodes: [plan.nodes[1]], warnings: [])
    #expect(PlanText(one, palette: Palette(color: false)).summary() == "1 node: 1 to change")
  }

  @Test func aPlanWithoutChangesHasNoLines() {
    let empty = ChangePlan(version: 3, nodes: [], warnings: [])
    #expect(PlanText(empty, palette: Palette(color: true)).lines.isEmpty)
  }
}

struct ExitCodeTests {
  /// The contract: 0 holds, 1 did not hold, 2 usage or file, 3 environment.
  @Test(arguments: [
    ("not-found", 2), ("invalid", 2), ("invalid-file", 2), ("refused", 1), ("conflict", 1), ("timeout", 1),
    ("unavailable", 3), ("internal", 3),
  ])
  func everyRefusalHasItsCode(_ code: String, _ exit: Int32) {
    #expect(Failure.report(APIError(code: code, message: "said in a test")) == exit)
  }
}
