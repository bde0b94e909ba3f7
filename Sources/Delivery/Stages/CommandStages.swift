internal import EventLoop
internal import Glibc
internal import Topology

/// Runs `build.run`; its exit code decides.
struct BuildStage {
  let run: RunContext

  func perform() async throws {
    guard let build = run.pipeline.build else { return }
    try await restore()
    let ended = try await run.command(build)
    if ended.timedOut { throw StageFailure(.stopped, "the build took longer than \(Int(build.seconds)) s") }
    guard ended.exit == 0 else {
      throw StageFailure(.stopped, "the build failed with exit \(ended.exit); see \(run.log?.path ?? "its log")")
    }
  }

  /// The commit and nothing else: what a build that was killed left half-written must not be taken for built.
  private func restore() async throws {
    guard let commit = run.facts.commit else { throw StageFailure(.stopped, "there is no commit; run from source") }
    let git = Git(run: run, directory: commit.folder)
    for command in [["reset", "--quiet", "--hard", commit.id], ["clean", "-ffdxq"]] {
      _ = try await git.must(command, or: StageFailure(.stopped, "cannot restore the checkout; run from source"))
    }
  }
}

/// Runs `test.run` and reads what it reports. A failed run is repeated only as often as the file says, and that is said.
struct TestStage {
  let run: RunContext

  func perform() async throws {
    guard let test = run.pipeline.test else { return }
    var failures: [FailedTest] = []
    for attempt in 1...(test.retries + 1) {
      let result = try await once(attempt)
      try run.update { $0.tests = TestFacts(total: result.total, failed: result.failed + failures, attempts: attempt) }
      guard let reason = result.reason else {
        try run.update { $0.tests?.failed = [] }
        let count = result.total.map { "\($0) tests passed" } ?? "the tests passed"
        run.say(
          attempt == 1
            ? count
            : "\(count) at attempt \(attempt) of \(test.retries + 1); before: \(failures.map(\.name).joined(separator: ", "))"
        )
        return
      }
      if attempt <= test.retries {
        run.say("attempt \(attempt) of \(test.retries + 1): \(reason); repeated, as `retries` says")
        failures += result.failed
      } else {
        try run.update { $0.tests?.failed = result.failed }
        throw StageFailure(.stopped, attempt == 1 ? reason : "\(reason), also at attempt \(attempt)")
      }
    }
  }

  private struct Result {
    var total: Int?
    var failed: [FailedTest] = []
    /// nil: all hold.
    var reason: String?
  }

  private func once(_ attempt: Int) async throws -> Result {
    guard let test = run.pipeline.test else { return Result() }
    let report = try test.junit.map { try run.workingFolder + "/" + $0 }
    // A report of an earlier attempt, or one that was checked in, says nothing.
    if let report { unlink(report) }
    let ended = try await run.command(test.command, ["NETLOOM_ATTEMPT=\(attempt)"])
    if ended.timedOut { return Result(reason: "the tests took longer than \(Int(test.command.seconds)) s") }
    guard let report else { return Result(reason: ended.exit == 0 ? nil : "the tests failed with exit \(ended.exit)") }
    run.leave(report)
    let junit: JUnitReport
    do {
      junit = try JUnitReport(reading: report)
    } catch {
      let exit = ended.exit == 0 ? "" : "the tests failed with exit \(ended.exit), and "
      return Result(reason: "\(exit)\(test.junit ?? "the report"): \(error)")
    }
    var result = Result(total: junit.total, failed: junit.failed)
    if !junit.failed.isEmpty {
      let first = junit.failed.prefix(3).map { $0.message.isEmpty ? $0.name : "\($0.name) (\($0.message.prefix(120)))" }
      let more = junit.failed.count > 3 ? " and \(junit.failed.count - 3) more" : ""
      result.reason = "\(junit.failed.count) of \(junit.total) tests failed: \(first.joined(separator: ", "))\(more)"
    } else if ended.exit != 0 {
      result.reason = "the tests ended with exit \(ended.exit), though no test of the report failed"
    } else if junit.total == 0 {
      result.reason = "\(test.junit ?? "the report") has no tests in it"
    }
    return result
  }
}

extension RunContext {
  /// A shell command of the file, in `source.path`.
  func command(_ command: PipelineCommand, _ environment: [String] = []) async throws -> Shell.Ended {
    guard let commit = facts.commit else { throw StageFailure(.stopped, "there is no commit; run from source") }
    note("$ \(command.run)")
    let shell = shell(
      in: try workingFolder,
      [
        "NETLOOM_PIPELINE=\(pipeline.name)", "NETLOOM_RUN=\(number)", "NETLOOM_REF=\(ref)",
        "NETLOOM_COMMIT=\(commit.id)",
      ] + environment)
    return try await shell.run(["/bin/sh", "-c", command.run], within: command.seconds)
  }
}
