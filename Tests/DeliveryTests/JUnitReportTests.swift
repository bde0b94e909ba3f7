import Testing

@testable import Delivery

@Suite struct JUnitReportTests {
  private func report(_ text: String) throws -> JUnitReport { try JUnitReport(Array(text.utf8)) }

  @Test func countsTestsAndNamesTheFailedOnes() throws {
    let read = try report(
      """
      <?xml version="1.0" encoding="UTF-8"?>
      <!-- made by hand -->
      <testsuites><testsuite name="web" tests="4">
        <testcase classname="web" name="answers"/>
        <testcase classname="web" name="sums &lt;1 &amp; 2&gt;"><failure message="expected 3, got &quot;4&quot;"/></testcase>
        <testcase name="crashes"><error>
           signal 11
           more
        </error></testcase>
        <testcase classname="web" name="skipped"><skipped/></testcase>
      </testsuite></testsuites>
      """)
    #expect(read.total == 4)
    #expect(
      read.failed == [
        FailedTest(name: "web.sums <1 & 2>", message: "expected 3, got \"4\""),
        FailedTest(name: "crashes", message: "signal 11"),
      ])
  }

  @Test func aTestWithTwoFailuresFailsOnce() throws {
    let read = try report(
      "<testsuite><testcase name='a'><failure message='one'/><failure message='two'/></testcase></testsuite>")
    #expect(read.total == 1 && read.failed.map(\.message) == ["one"])
  }

  @Test func cdataIsText() throws {
    let read = try report("<testsuite><testcase name='a'><failure><![CDATA[x < y]]></failure></testcase></testsuite>")
    #expect(read.failed.first?.message == "x < y")
  }

  @Test(arguments: [
    ("", "the file is empty"), ("<testsuite>", "the file ends inside <testsuite>"),
    ("<testsuite></testcase>", "closes nothing"), ("<html/>", "no testsuite"),
    ("<!DOCTYPE x [<!ENTITY a 'b'>]><testsuite/>", "a document type"), ("no xml", "text outside"),
    ("<testsuite a=1/>", "without quotes"), ("<testsuite/><testsuite/>", "a second document"),
  ])
  func whatIsNoReportSaysWhy(_ text: String, _ reason: String) {
    let error = #expect(throws: JUnitProblem.self) { try report(text) }
    #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
  }
}
