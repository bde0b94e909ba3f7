internal import EventLoop
internal import Glibc

/// git(1) for a stage. It asks nobody for passwords and reads no hooks of the repository that it clones.
struct Git {
  let run: RunContext
  var directory: String

  private var shell: Shell {
    run.shell(
      in: directory,
      ["GIT_TERMINAL_PROMPT=0", "GIT_ADVICE=0", "LC_ALL=C", "GIT_SSH_COMMAND=ssh -oBatchMode=yes"])
  }

  /// What it prints, without the last line's end; nil: it failed, and said why in the log.
  func ask(_ arguments: [String]) async throws -> String? {
    let ended = try await shell.run(["git"] + arguments, keeping: true, within: 600)
    if ended.exit == 127 { throw StageFailure(.environment, "git is not installed; run: apt-get install git") }
    guard ended.exit == 0 else { return nil }
    return ended.output.hasSuffix("\n") ? String(ended.output.dropLast()) : ended.output
  }

  func must(_ arguments: [String], or failure: @autoclosure () -> StageFailure) async throws -> String {
    guard let output = try await ask(arguments) else { throw failure() }
    return output
  }
}
