import NorthboundAPI
import Reports
import Scenario
import Testing
import Topology

private let paths = RepositoryPaths(root: "/repo", directory: "/repo/network")

@Suite("TAP 14") struct TAPTests {
  /// Lines as a harness takes them: the plan, then points with their descriptions, each with a block of YAML.
  private struct Point {
    var holds: Bool
    var number: Int
    var description: String
    var block: [String]
  }

  private func read(_ text: String) throws -> [Point] {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    try #require(lines[0] == "TAP version 14")
    var points: [Point] = []
    var inBlock = false
    for line in lines.dropFirst(2).dropLast() {
      if inBlock {
        inBlock = line != "  ..."
        points[points.count - 1].block.append(line)
      } else if line == "  ---" {
        inBlock = true
      } else {
        let match = try #require(line.wholeMatch(of: /(not )?ok (\d+) - (.*)/), "\(line)")
        let number = try #require(Int(match.2))
        points.append(Point(holds: match.1 == nil, number: number, description: String(match.3), block: []))
      }
    }
    try #require(lines[1] == "1..\(points.count)")
    return points
  }

  @Test func thePlanCountsEveryTestAndEveryFileThatCouldNotRun() throws {
    let points = try read(TAPDocument(try Sample.files()).text())
    #expect(points.map(\.number) == Array(1...8))
    #expect(points.map(\.holds) == [true, false, true, false, false, false, false, false])
    #expect(points.last?.description == "labs/bad.yaml: run")
  }

  @Test func aNameCannotMakeADirectiveOfItself() throws {
    let test = TestReport(name: "lost # SKIP \\ \n1..0", seconds: 0, steps: [])
    let points = try read(TAPDocument([FileReport(file: "a", lab: "l", tests: [test], seconds: 0)]).text())
    #expect(points.map(\.description) == [##"l: lost \# SKIP \\  1..0"##])
  }

  @Test("the blocks are YAML", .enabled(if: Reader.hasPython, "needs python3"))
  func theBlocksAreYAML() throws {
    let points = try read(TAPDocument(try Sample.files()).text())
    let script = """
      import sys, yaml
      block = yaml.safe_load(sys.stdin)
      print(block['found-2'])
      print(block['severity'], block['duration_ms'])
      """
    let block = points[1].block.dropLast().joined(separator: "\n")
    #expect(try Reader.run(Reader.python, ["-c", script], input: block) == Sample.hostile + "\nfailed 3100\n")
  }
}

@Suite("GitHub annotations") struct GitHubTests {
  @Test func anIssueStandsAtItsLineWithThePathThatTheForgeKnows() throws {
    let lines = GitHubAnnotations(try Sample.files(), paths: paths).lines()
    #expect(
      lines.contains {
        $0.hasPrefix(
          "::error file=network/labs/uplinks.yaml,line=42,col=9,title=uplinks%3A the uplink fails <b>::trace h1")
      })
    #expect(lines.contains { $0.hasPrefix("::error file=network/labs/bad.yaml,line=3,col=5,title=netloom::") })
  }

  @Test func aLeakThatAttractsNoTrafficIsAWarningAtTheRouterThatDecided() throws {
    let lines = GitHubAnnotations(try Sample.files(), paths: paths).lines()
    // Line 7 of the file is isp2's.
    #expect(lines.count { $0.hasPrefix("::warning ") } == 1)
    #expect(lines.contains { $0.hasPrefix("::warning file=network/labs/uplinks.yaml,line=7,") })
  }

  @Test func outputOfALabIsNoCommandOfItsOwn() throws {
    let lines = GitHubAnnotations(try Sample.files(), paths: paths).lines()
    #expect(lines.allSatisfy { !$0.contains("\n") && !$0.contains("\r") })
    let mismatch = Mismatch("output", expected: "%", found: "a\r\n::set-env name=PATH::x")
    let step = StepReport(place: Sample.place(1), summary: "exec in h1: x", outcome: .failed([mismatch]))
    let file = FileReport(
      file: "a", lab: "l", tests: [TestReport(name: "t", seconds: 0, steps: [step])], seconds: 0)
    let line = try #require(GitHubAnnotations([file], paths: paths).lines().first)
    #expect(line.contains("expected: %25"))
    #expect(line.contains("a%0D%0A::set-env"))
  }
}

@Suite("Markdown summary") struct MarkdownTests {
  @Test func everyTestHasARowAndNothingBreaksTheTable() throws {
    let text = MarkdownSummary(try Sample.files()).text()
    let rows = text.split(separator: "\n").filter { $0.hasPrefix("| ") }
    // A heading, a rule, seven tests and the file that could not run.
    #expect(rows.count == 10)
    for row in rows {
      let bars = row.replacing(#"\|"#, with: "").count { $0 == "|" }
      #expect(bars == 6, "\(row)")
    }
  }

  @Test func noTextOfALabIsMarkup() throws {
    let text = MarkdownSummary(try Sample.files()).text()
    #expect(!text.contains("<script"))
    #expect(!text.contains("fails <b>"))
    #expect(text.contains("evidence: <code>evidence/uplinks/nobody-leaks/</code>"))
  }

  @Test func detailsOverTheLimitAreCounted() throws {
    let text = MarkdownSummary(try Sample.files(), limit: 900).text()
    #expect(text.contains("more tests are left out here."))
    #expect(text.utf8.count < 5000)
  }
}

@Suite("Impairments in reports") struct ImpairmentReportTests {
  private static func files() -> [FileReport] {
    var file = FileReport(file: "a.yaml", lab: "l", tests: [], seconds: 0)
    let detail = ImpairmentDetail(
      delayMs: 5, jitterMs: 0, lossPercent: 10, rate: nil,
      achieved: AchievedImpairment(
        packets: 7, dropped: 0, lateMedianMs: 0.01, lateP99Ms: 0.02, lateMaxMs: 0.03, offered: 10, lost: 3))
    file.impairments = [ImpairedDirection(from: "a|b:eth1", to: "<c>:eth1", detail: detail)]
    return [file]
  }

  @Test func theTableHasARowForEachDirectionAndNoNameBreaksIt() throws {
    let markdown = MarkdownSummary(Self.files()).text()
    let achieved =
      "7 packets, 0 dropped, late 0.010 ms (median), 0.020 ms (p99), 0.030 ms (most); lost 3 of 10 (30.00 %)"
    #expect(
      markdown.split(separator: "\n").contains(
        #"| a\|b:eth1 | &lt;c&gt;:eth1 | delay 5 ms, loss 10 % | \#(achieved) |"#), "\(markdown)")
    let html = HTMLReport(Self.files(), path: "r.html", directory: "/").html()
    #expect(html.contains("<td>a|b:eth1</td><td>&lt;c&gt;:eth1</td><td>delay 5 ms, loss 10 %</td>"))
    #expect(html.contains("<td>\(achieved)</td>"))
    #expect(!HTMLReport(try Sample.files(), path: "r.html", directory: "/").html().contains("Impairments"))
  }
}
