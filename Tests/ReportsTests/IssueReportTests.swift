import Foundation
import Reports
import Scenario
import Testing
import Topology

private let paths = RepositoryPaths(root: "/repo", directory: "/repo")

private func object(_ value: Any?) throws -> [String: Any] { try #require(value as? [String: Any]) }
private func list(_ value: Any?) throws -> [[String: Any]] { try #require(value as? [[String: Any]]) }
private func json(_ text: String) throws -> Any { try JSONSerialization.jsonObject(with: Data(text.utf8)) }

@Suite("SARIF 2.1.0") struct SARIFTests {
  private func run() throws -> [String: Any] {
    let log = try object(json(SARIFDocument(try Sample.files(), paths: paths).json()))
    #expect(log["version"] as? String == "2.1.0")
    #expect((log["$schema"] as? String)?.contains("sarif-2.1.0") == true)
    return try #require(list(log["runs"]).first)
  }

  /// What sections 3.14 (run), 3.19 (driver), 3.27 (result), 3.28 (location), 3.29 and 3.30 require.
  @Test func everyObjectHasWhatTheSpecificationRequires() throws {
    let run = try run()
    let driver = try object(object(run["tool"])["driver"])
    #expect(driver["name"] as? String == "netloom")
    let rules = try list(driver["rules"]).map { try #require($0["id"] as? String) }
    #expect(Set(rules).count == rules.count)
    let results = try list(run["results"])
    #expect(results.count == 7)
    for result in results {
      #expect(["error", "warning"].contains(result["level"] as? String))
      let index = try #require(result["ruleIndex"] as? Int)
      #expect(rules[index] == result["ruleId"] as? String)
      #expect((try object(result["message"])["text"] as? String)?.isEmpty == false)
      let location = try object(list(result["locations"]).first?["physicalLocation"])
      let artifact = try object(location["artifactLocation"])
      let uri = try #require(artifact["uri"] as? String)
      #expect(!uri.hasPrefix("/") && !uri.contains("\\"))
      let base = try #require(artifact["uriBaseId"] as? String)
      #expect(try object(run["originalUriBaseIds"])[base] != nil)
      let region = try object(location["region"])
      #expect(try #require(region["startLine"] as? Int) >= 1 && #require(region["startColumn"] as? Int) >= 1)
    }
    // A file that could not be read: the run as a whole did not succeed (3.20.14).
    #expect(try list(run["invocations"]).first?["executionSuccessful"] as? Bool == false)
  }

  @Test func aLeakIsAResultAtTheRouterThatDecided() throws {
    let leak = try #require(list(run()["results"]).first { $0["ruleId"] as? String == "netloom/valley-free" })
    #expect(leak["level"] as? String == "error")
    let region = try object(object(list(leak["locations"]).first?["physicalLocation"])["region"])
    // Line 5 of the file is customer's.
    #expect(region["startLine"] as? Int == 5)
    let related = try object(object(list(leak["relatedLocations"]).first?["physicalLocation"])["region"])
    #expect(related["startLine"] as? Int == 60)
    let text = try #require(object(leak["message"])["text"] as? String)
    #expect(text.contains("AS path: 64500 64497"))
    #expect(text.contains("because: local-pref"))
  }

  @Test func aTransitNamesTheNodeBesideTheStep() throws {
    let transit = try #require(list(run()["results"]).first { $0["ruleId"] as? String == "netloom/no-transit" })
    #expect(try list(transit["relatedLocations"]).count == 1)
  }

  @Test func fingerprintsStayWhenLinesMoveAndDifferOtherwise() throws {
    func prints(_ line: Int, _ names: String...) throws -> [String] {
      let tests = names.map { name in
        TestReport(
          name: name, seconds: 0,
          steps: [StepReport(place: Sample.place(line), summary: "exec in h1: x", outcome: .undecided("?"))])
      }
      let file = FileReport(file: "labs/uplinks.yaml", lab: "uplinks", tests: tests, seconds: 0)
      let log = try object(json(SARIFDocument([file], paths: paths).json()))
      return try list(list(log["runs"]).first?["results"]).map {
        try #require(object($0["partialFingerprints"])["netloomIssue/v1"] as? String)
      }
    }
    #expect(try prints(1, "a") == prints(9, "a"))
    #expect(try Set(prints(1, "a", "b", "a")).count == 3)
  }

  @Test func nothingWrongIsALogWithoutResults() throws {
    let file = FileReport(
      file: "a", lab: "l", tests: [TestReport(name: "t", seconds: 0, steps: [])], seconds: 0)
    let log = try object(json(SARIFDocument([file], paths: paths).json()))
    #expect(try list(list(log["runs"]).first?["results"]).isEmpty)
  }

  @Test func aPathIsAURI() throws {
    let step = StepReport(
      place: .init(file: "a b/ü%.yaml", line: 1, column: 1), summary: "exec in h1: x", outcome: .undecided("?"))
    let file = FileReport(file: "a", lab: "l", tests: [TestReport(name: "t", seconds: 0, steps: [step])], seconds: 0)
    // By python3 -c 'import urllib.parse as u; print(u.quote("a b/ü%.yaml"))'
    #expect(try SARIFDocument([file], paths: paths).json().contains("\"a%20b/%C3%BC%25.yaml\""))
  }
}

@Suite("GitLab Code Quality") struct CodeQualityTests {
  @Test func everyEntryHasTheMembersThatGitLabReads() throws {
    let entries = try list(json(GitLabCodeQuality(try Sample.files(), paths: paths).json()))
    #expect(entries.count == 7)
    for entry in entries {
      #expect((entry["description"] as? String)?.isEmpty == false)
      #expect((entry["check_name"] as? String)?.hasPrefix("netloom/") == true)
      #expect(["info", "minor", "major", "critical", "blocker"].contains(entry["severity"] as? String))
      let location = try object(entry["location"])
      #expect((location["path"] as? String)?.hasPrefix("labs/") == true)
      #expect(try #require(object(location["lines"])["begin"] as? Int) >= 1)
    }
    let prints = entries.compactMap { $0["fingerprint"] as? String }
    #expect(Set(prints).count == entries.count)
  }
}
