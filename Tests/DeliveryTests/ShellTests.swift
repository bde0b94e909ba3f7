import Foundation
import Testing

@testable import Delivery

@Suite struct ShellTests {
  private let scratch = Scratch()
  private var shell: Shell { Shell(directory: scratch.path, processFile: scratch.path + "/process") }

  private func alive(_ pid: Int32) -> Bool { kill(pid, 0) == 0 }

  private func pid(in file: String) async throws -> Int32 {
    while true {
      if let text = try? String(contentsOfFile: scratch.path + "/" + file, encoding: .utf8),
        let pid = Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))
      {
        return pid
      }
      await Task.yield()
    }
  }

  private func ended(_ pid: Int32) async -> Bool {
    let end = Date().addingTimeInterval(10)
    while alive(pid), Date() < end { await Task.yield() }
    return !alive(pid)
  }

  @Test func theExitCodeAndTheOutputAreTheCommands() async throws {
    let ended = try await shell.run(["/bin/sh", "-c", "cat; echo to-stderr >&2; exit 3"], input: "in", keeping: true)
    #expect(ended.exit == 3 && ended.output == "in" && !ended.timedOut)
    #expect(!FileManager.default.fileExists(atPath: scratch.path + "/process"))
  }

  @Test func aRepositoryThatThisProcessWorksOnIsNotTheCommands() {
    var shell = shell
    shell.environment = ["A=1", "B=x=y"]
    shell.withheld = ["SECRET"]
    let inherited = ["GIT_DIR": "/d", "GIT_WORK_TREE": "/w", "GIT_INDEX_FILE": "/i", "GIT_AUTHOR_NAME": "Ada"]
    #expect(
      shell.variables(over: inherited.merging(["SECRET": "s", "A": "0"]) { $1 })
        == ["A=1", "B=x=y", "GIT_AUTHOR_NAME=Ada"])
  }

  @Test func aCommandThatIsNotThereIsTheMachines() async throws {
    let failure = await #expect(throws: StageFailure.self) { try await shell.run(["/no/such/program"]) }
    #expect(failure?.ending == .environment)
  }

  @Test func aCommandThatTakesTooLongEndsWithItsChildren() async throws {
    let ended = try await shell.run(["/bin/sh", "-c", "sleep 60 & echo $! > child; wait"], within: 0.3)
    #expect(ended.timedOut)
    #expect(await self.ended(try await pid(in: "child")))
  }

  @Test func whatACommandLeavesRunningEndsWithIt() async throws {
    _ = try await shell.run(["/bin/sh", "-c", "sleep 60 & echo $! > child"])
    #expect(await ended(try await pid(in: "child")))
  }

  @Test func beingToldToStopEndsTheCommand() async throws {
    let shell = shell
    let task = Task { try await shell.run(["/bin/sh", "-c", "echo $$ > leader; sleep 60"]) }
    let leader = try await pid(in: "leader")
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(await ended(leader))
  }

  /// As a run that was killed with SIGKILL leaves it.
  @Test func whatAKilledRunLeftIsEndedAndNobodyElse() async throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sleep")
    process.arguments = ["60"]
    try process.run()  // the leader of a group of its own
    let pid = process.processIdentifier
    let file = scratch.path + "/process"
    let time = try #require(Shell.startTime(of: pid))
    try "\(pid) 1\n".write(toFile: file, atomically: true, encoding: .utf8)
    Shell.endLeftover(file)
    #expect(alive(pid) && process.isRunning)
    try #require(getpgid(pid) == pid)
    try "\(pid) \(time)\n".write(toFile: file, atomically: true, encoding: .utf8)
    Shell.endLeftover(file)
    process.waitUntilExit()
    #expect(!FileManager.default.fileExists(atPath: file))
  }
}
