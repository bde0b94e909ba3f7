import Foundation
import Testing

@testable import Delivery

/// Source, build, test and merge with a real repository and real commands.
@Suite struct RepositoryStageTests {
  private let scratch = Scratch()
  private var repository: String { scratch.path + "/repository" }

  @discardableResult
  private func git(_ arguments: String..., in folder: String? = nil) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/git")
    process.arguments =
      ["-C", folder ?? repository, "-c", "user.name=Ada", "-c", "user.email=ada@example.org"] + arguments
    process.environment = ["PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  private func commit(_ name: String, _ text: String, _ subject: String) throws -> String {
    try text.write(toFile: repository + "/" + name, atomically: true, encoding: .utf8)
    try git("add", "-A")
    try git("commit", "-qm", subject)
    return try git("rev-parse", "HEAD")
  }

  /// main with a commit, feature with one more.
  private func makeRepository() throws -> (main: String, feature: String) {
    try FileManager.default.createDirectory(atPath: repository, withIntermediateDirectories: true)
    try git("-c", "init.defaultBranch=main", "init", "-q")
    let main = try commit("a", "1\n", "Begin")
    try git("checkout", "-q", "-b", "feature")
    let feature = try commit("a", "2\n", "Go on")
    try git("checkout", "-q", "main")
    return (main, feature)
  }

  private func context(_ more: String, ref: String = "feature") throws -> RunContext {
    let text = "name: web\nsource: {repository: \(repository), ref: \(ref)}\n\(more)\n"
    let run = try deployable(scratch, text)
    let record = try #require(try run.store.run(run.number))
    var changed = record
    changed.ref = ref
    return RunContext(
      pipeline: try pipeline(text), run: changed, folder: scratch.path, store: run.store, report: { _ in })
  }

  @Test func aBranchIsCheckedOutApartAndTheRepositoryIsOnlyRead() async throws {
    let commits = try makeRepository()
    let before = try git("for-each-ref")
    let run = try context("")
    try await SourceStage(run: run).perform()
    let found = try #require(run.facts.commit)
    #expect(
      found.id == commits.feature && found.author == "Ada" && found.email == "ada@example.org"
        && found.subject == "Go on")
    #expect(try String(contentsOfFile: found.folder + "/a", encoding: .utf8) == "2\n")
    #expect(try git("for-each-ref") == before && git("rev-parse", "--abbrev-ref", "HEAD") == "main")
    #expect(try git("worktree", "list").split(separator: "\n").count == 1)
  }

  @Test func tagsAndIdsAreRefsToo() async throws {
    let commits = try makeRepository()
    try git("tag", "v1.0", commits.main)
    for ref in ["v1.0", commits.main, String(commits.main.prefix(10))] {
      let run = try context("", ref: ref)
      try await SourceStage(run: run).perform()
      #expect(run.facts.commit?.id == commits.main)
    }
  }

  @Test func aRefThatIsNotThereSaysWhatIs() async throws {
    _ = try makeRepository()
    let failure = await #expect(throws: StageFailure.self) {
      try await SourceStage(run: try context("", ref: "nope")).perform()
    }
    #expect(
      failure?.reason.contains("no branch, tag or commit nope; branches: feature, main") == true,
      "\(failure?.reason ?? "")")
    #expect(failure?.ending == .stopped)
  }

  @Test func theBuildsExitCodeDecides() async throws {
    _ = try makeRepository()
    let run = try context("build: {run: \"test $(cat a) = 2 && echo $NETLOOM_COMMIT > built\"}")
    try await SourceStage(run: run).perform()
    try await BuildStage(run: run).perform()
    let folder = try #require(run.facts.commit?.folder)
    #expect(try String(contentsOfFile: folder + "/built", encoding: .utf8) == run.facts.commit.map { $0.id + "\n" })
    let failing = try context("build: {run: \"exit 7\"}")
    try await SourceStage(run: failing).perform()
    let failure = await #expect(throws: StageFailure.self) { try await BuildStage(run: failing).perform() }
    #expect(failure?.reason.hasPrefix("the build failed with exit 7") == true)
  }

  /// Whoever writes the ref that is delivered does not learn what notices are signed with.
  @Test func aSecretIsNotInTheEnvironmentOfTheRepositorysCommands() async throws {
    _ = try makeRepository()
    let commands = "build: {run: \"test -z $HOME && test -n $PATH\"}\ntest: {run: \"test -z $HOME\"}\n"
    let run = try context(commands + "notify: [{webhook: \"http://127.0.0.1:1/\", secret: {env: HOME}}]")
    try await SourceStage(run: run).perform()
    try await BuildStage(run: run).perform()
    try await TestStage(run: run).perform()
  }

  @Test func whatAKilledBuildLeftIsNotTakenForBuilt() async throws {
    _ = try makeRepository()
    let run = try context("build: {run: \"test ! -e half && test $(cat a) = 2\"}")
    try await SourceStage(run: run).perform()
    let folder = try #require(run.facts.commit?.folder)
    for name in ["half", "a"] { try "torn".write(toFile: folder + "/" + name, atomically: true, encoding: .utf8) }
    try await BuildStage(run: run).perform()
  }

  // MARK: tests

  private func test(_ command: String, _ more: String = "") async throws -> (run: RunContext, failure: StageFailure?) {
    if !FileManager.default.fileExists(atPath: repository) { _ = try makeRepository() }
    let run = try context("test: {run: '\(command)', junit: report.xml\(more)}")
    try await SourceStage(run: run).perform()
    do {
      try await TestStage(run: run).perform()
      return (run, nil)
    } catch let failure as StageFailure {
      return (run, failure)
    }
  }

  private let passing = "echo \"<testsuite><testcase name=\\\"one\\\"/></testsuite>\" > report.xml"
  private let failing =
    "echo \"<testsuite><testcase name=\\\"one\\\"><failure message=\\\"no\\\"/></testcase></testsuite>\" > report.xml"

  @Test func aFailingTestIsNamed() async throws {
    let (run, failure) = try await test("\(failing); exit 1")
    #expect(failure?.reason == "1 of 1 tests failed: one (no)")
    #expect(run.facts.tests == TestFacts(total: 1, failed: [FailedTest(name: "one", message: "no")], attempts: 1))
    // A command that forgets its exit code does not hide what its report says.
    #expect(try await test(failing).failure?.reason == "1 of 1 tests failed: one (no)")
  }

  @Test func aReportMustBeThereAndHaveTests() async throws {
    #expect(try await test("true").failure?.reason == "report.xml: the tests did not write it")
    #expect(try await test("echo \"<testsuite/>\" > report.xml").failure?.reason == "report.xml has no tests in it")
    let odd = try await test("\(passing); exit 3").failure
    #expect(odd?.reason == "the tests ended with exit 3, though no test of the report failed")
  }

  @Test func aFlakyTestIsRepeatedOnlyWhereTheFileSaysSo() async throws {
    let flaky = "if [ $NETLOOM_ATTEMPT = 1 ]; then \(failing); exit 1; else \(passing); fi"
    #expect(try await test(flaky).failure != nil)
    let (run, failure) = try await test(flaky, ", retries: 1")
    #expect(failure == nil && run.facts.tests?.attempts == 2)
    let (again, still) = try await test("\(failing); exit 1", ", retries: 1")
    #expect(still?.reason == "1 of 1 tests failed: one (no), also at attempt 2" && again.facts.tests?.attempts == 2)
  }

  // MARK: merging

  private func merge() async throws -> (failure: StageFailure?, head: String, from: String?) {
    let run = try context("merge: {into: main}")
    try await SourceStage(run: run).perform()
    do {
      try await MergeStage(run: run).perform()
      return (nil, try git("rev-parse", "main"), run.facts.mergedFrom)
    } catch let failure as StageFailure {
      return (failure, try git("rev-parse", "main"), run.facts.mergedFrom)
    }
  }

  @Test func aBranchMovesForwardWithItsWorkingTree() async throws {
    let commits = try makeRepository()
    let result = try await merge()
    #expect(result.failure == nil && result.head == commits.feature && result.from == commits.main)
    #expect(try String(contentsOfFile: repository + "/a", encoding: .utf8) == "2\n")
    #expect(try git("status", "--porcelain").isEmpty)
    #expect(try await merge().failure == nil)  // once more changes nothing
  }

  @Test func aBranchThatHasMovedOnIsLeftAlone() async throws {
    _ = try makeRepository()
    let moved = try commit("b", "x\n", "Elsewhere")
    let result = try await merge()
    #expect(
      result.failure?.reason == "main has moved on by 1 commits that feature does not have; rebase it and run again")
    #expect(result.head == moved)
  }

  @Test func workThatIsNotCommittedIsNotLost() async throws {
    let commits = try makeRepository()
    try "mine\n".write(toFile: repository + "/a", atomically: true, encoding: .utf8)
    let result = try await merge()
    #expect(result.failure?.reason.hasPrefix("git refuses to move main") == true && result.head == commits.main)
    #expect(try String(contentsOfFile: repository + "/a", encoding: .utf8) == "mine\n")
  }
}
