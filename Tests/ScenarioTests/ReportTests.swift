import Foundation
import FoundationXML
import Lab
import Synchronization
import Testing
import Topology

@testable import Scenario

private let place = Place(file: "lab.yaml", line: 9, column: 7)

private func failing(_ outcome: Outcome, evidence: String? = "evidence/small/t/") -> TestReport {
  TestReport(
    name: "a <b> & \"c\"", seconds: 1.25,
    steps: [
      StepReport(
        place: place, summary: "trace h1 → isp1 icmp", outcome: .held, heldAfter: 0.31, withinMilliseconds: 2000),
      StepReport(
        place: place, summary: "trace h1 → isp2 icmp", outcome: outcome, heldAfter: nil, withinMilliseconds: nil),
    ], evidence: evidence)
}

private let wrongWay = Outcome.failed([
  Mismatch("forward path", expected: "h1 → customer → isp1", found: "h1 → customer → isp2")
])

struct ReportTextTests {
  @Test func aFailureShowsWhatWasExpectedAndWhatWasFound() {
    #expect(
      ReportStyle(color: false).lines(failing(wrongWay)) == [
        "✘ a <b> & \"c\" (1.25 s)",
        "    trace h1 → isp1 icmp: held after 0.31 s (within 2.00 s)",
        "    trace h1 → isp2 icmp   (lab.yaml:9:7)",
        "      forward path",
        "        expected: h1 → customer → isp1",
        "        found:    h1 → customer → isp2",
        "evidence: evidence/small/t/",
      ])
  }

  @Test func anUndecidedTestIsCalledThat() {
    let lines = ReportStyle(color: false).lines(failing(.undecided("3 packets dropped by the kernel")))
    #expect(lines[0] == "✘ a <b> & \"c\" undecided (1.25 s)")
    #expect(lines.contains("      undecided: 3 packets dropped by the kernel"))
  }

  @Test func theSummaryCountsEveryKind() {
    let reports = [
      FileReport(file: "a", lab: "a", tests: [TestReport(name: "x", seconds: 1, steps: [])], seconds: 1),
      FileReport(file: "b", lab: "b", tests: [failing(wrongWay), failing(.undecided("?"))], seconds: 1),
      FileReport(file: "c", lab: "", tests: [], seconds: 0, problem: (2, "bad")),
    ]
    #expect(
      ReportStyle(color: false).summary(reports)
        == "1 of 3 tests hold, 1 failed, 1 undecided, 1 file could not be run (2.00 s)")
    #expect(ScenarioRun.exitCode(reports) == 2)
    #expect(ScenarioRun.exitCode(Array(reports.prefix(2))) == 1)
    #expect(ScenarioRun.exitCode(Array(reports.prefix(1))) == 0)
  }

  @Test func folderNamesAreEasyToType() {
    #expect(Evidence.folderName("The way back: 100 % isp2!") == "the-way-back-100-isp2")
    #expect(Evidence.folderName("../../etc/passwd") == "etc-passwd")
    #expect(Evidence.folderName("…") == "test")
  }
}

struct JUnitTests {
  /// Read back by another implementation of XML than the one that wrote it.
  private func read(_ files: [FileReport]) throws -> [Element] {
    let parser = XMLParser(data: Data(JUnitDocument(files).xml().utf8))
    let collector = Collector()
    parser.delegate = collector
    try #require(parser.parse(), "\(String(describing: parser.parserError))")
    return collector.elements
  }

  @Test func thereIsOneTestCasePerTestWithTheLabAsItsClass() throws {
    let tests = [TestReport(name: "x", seconds: 1, steps: []), failing(wrongWay)]
    let elements = try read([FileReport(file: "a.yaml", lab: "small", tests: tests, seconds: 2)])
    let cases = elements.filter { $0.name == "testcase" }
    #expect(cases.map { $0.attributes["name"] } == ["x", "a <b> & \"c\""])
    #expect(cases.allSatisfy { $0.attributes["classname"] == "small" })
    let suite = try #require(elements.first { $0.name == "testsuite" })
    #expect(suite.attributes["tests"] == "2")
    #expect(suite.attributes["failures"] == "1")
  }

  @Test func aFailureNamesItsEvidenceOnALineOfItsOwn() throws {
    let elements = try read([FileReport(file: "a", lab: "small", tests: [failing(wrongWay)], seconds: 2)])
    let failure = try #require(elements.first { $0.name == "failure" })
    #expect(failure.attributes["type"] == "failed")
    #expect(
      failure.attributes["message"]
        == "trace h1 → isp2 icmp: forward path: expected h1 → customer → isp1, found h1 → customer → isp2")
    #expect(failure.text.split(separator: "\n").contains("evidence: evidence/small/t/"))
  }

  @Test func undecidedIsAFailureOfItsOwnType() throws {
    let elements = try read([FileReport(file: "a", lab: "l", tests: [failing(.undecided("why"))], seconds: 2)])
    #expect(elements.first { $0.name == "failure" }?.attributes["type"] == "undecided")
  }

  @Test func aFileThatCouldNotRunIsNotMissing() throws {
    let report = FileReport(file: "a.yaml", lab: "", tests: [], seconds: 0, problem: (2, "a.yaml:1:1: error: empty"))
    let elements = try read([report])
    #expect(elements.first { $0.name == "error" }?.attributes["message"] == "a.yaml:1:1: error: empty")
    #expect(elements.first { $0.name == "testsuites" }?.attributes["errors"] == "1")
  }

  @Test func charactersThatXMLForbidsDoNotBreakTheDocument() throws {
    let mismatch = Mismatch("output", expected: "a", found: "\u{0}\u{1B}[31m]]>\u{FFFE}\r")
    let elements = try read([FileReport(file: "a", lab: "l", tests: [failing(.failed([mismatch]))], seconds: 0)])
    #expect(elements.first { $0.name == "failure" }?.text.contains("]]>") == true)
  }
}

private struct Element {
  var name: String
  var attributes: [String: String]
  var text = ""
}

private final class Collector: NSObject, XMLParserDelegate {
  var elements: [Element] = []
  private var open: [Int] = []

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    open.append(elements.count)
    elements.append(Element(name: name, attributes: attributes))
  }

  func parser(_ parser: XMLParser, foundCharacters text: String) {
    if let last = open.last { elements[last].text += text }
  }

  func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
    open.removeLast()
  }
}
