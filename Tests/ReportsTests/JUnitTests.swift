import Foundation
import FoundationXML
import Reports
import Scenario
import Testing
import Topology

private let place = Place(file: "lab.yaml", line: 9, column: 7)

private func failing(_ outcome: Outcome) -> TestReport {
  TestReport(
    name: "a <b> & \"c\"", seconds: 1.25,
    steps: [StepReport(place: place, summary: "trace h1 → isp2 icmp", outcome: outcome)], evidence: "evidence/small/t/")
}

private let wrongWay = Outcome.failed([
  Mismatch("forward path", expected: "h1 → customer → isp1", found: "h1 → customer → isp2")
])

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

  @Test func aTestThatWasNotRunIsSkippedAndNeitherFailureNorError() throws {
    var notRun = TestReport(name: "later", seconds: 0, steps: [])
    notRun.notRun = "the run was interrupted"
    let files = [FileReport(file: "a", lab: "l", tests: [notRun], seconds: 0)]
    let elements = try read(files)
    #expect(elements.first { $0.name == "skipped" }?.attributes["message"] == "not run: the run was interrupted")
    #expect(elements.first { $0.name == "testsuite" }?.attributes["skipped"] == "1")
    let report = try Reader.run(Reader.python, ["-c", schema], input: JUnitDocument(files).xml())
    #expect(report == "ok 1 suites, 1 cases\n")
  }

  @Test func charactersThatXMLForbidsDoNotBreakTheDocument() throws {
    let mismatch = Mismatch("output", expected: "a", found: "\u{0}\u{1B}[31m]]>\u{FFFE}\r")
    let elements = try read([FileReport(file: "a", lab: "l", tests: [failing(.failed([mismatch]))], seconds: 0)])
    #expect(elements.first { $0.name == "failure" }?.text.contains("]]>") == true)
  }

  /// The order and the members that the schema of Jenkins (junit-10.xsd) and of GitLab take: counts that agree with what
  /// is inside, at most one outcome per case, it before `system-out`.
  @Test func theDocumentFitsTheSchemaThatReadersOfJUnitAgreeOn() throws {
    let document = JUnitDocument(try Sample.files()).xml()
    let report = try Reader.run(Reader.python, ["-c", schema], input: document)
    #expect(report == "ok 2 suites, 8 cases\n")
    let wrong = document.replacingOccurrences(of: "failures=\"4\"", with: "failures=\"3\"")
    #expect(wrong != document)
    #expect(throws: Reader.Failure.self) { try Reader.run(Reader.python, ["-c", schema], input: wrong) }
  }
}

private let schema = """
  import sys, xml.etree.ElementTree as T
  root = T.parse(sys.stdin.buffer).getroot()
  assert root.tag == 'testsuites' and set(root.attrib) <= {'name', 'time', 'tests', 'failures', 'errors', 'disabled'}
  cases = 0
  def count(node, tag): return sum(1 for c in node.iter('testcase') if c.find(tag) is not None)
  for suite in root:
      assert suite.tag == 'testsuite' and suite.get('name') and float(suite.get('time')) >= 0
      assert int(suite.get('tests')) == len(suite.findall('testcase')), 'tests'
      for name, tag in (('failures', 'failure'), ('errors', 'error'), ('skipped', 'skipped')):
          assert int(suite.get(name)) == count(suite, tag), name
      for case in suite:
          cases += 1
          assert case.tag == 'testcase' and case.get('name') and case.get('classname') and float(case.get('time')) >= 0
          tags = [c.tag for c in case]
          assert tags in ([], ['failure'], ['error'], ['system-out'], ['failure', 'system-out'], ['error', 'system-out'], ['skipped']), tags
          for outcome in case:
              assert outcome.tag in ('system-out', 'skipped') or (outcome.get('message') and outcome.get('type')), 'message'
  for name, tag in (('failures', 'failure'), ('errors', 'error')):
      assert int(root.get(name)) == count(root, tag), name
  assert int(root.get('tests')) == cases
  print('ok', len(root), 'suites,', cases, 'cases')
  """

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
