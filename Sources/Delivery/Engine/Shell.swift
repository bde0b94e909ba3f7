// Commands of stages: a process group of its own, output in the stage's log, ended with all of its children when the time
// is up or the run is told to stop.

internal import CLinux
internal import Dispatch
internal import EventLoop
internal import FoundationEssentials
internal import Glibc
internal import Synchronization

struct Shell {
  var directory: String
  /// KEY=VALUE over those of this process.
  var environment: [String] = []
  /// Variables of this process that the command does not get.
  var withheld: Set<String> = []
  var log: StageLog?
  /// Where the process under way is written down.
  var processFile: String?

  struct Ended: Sendable {
    var exit: Int32
    var output: String
    var timedOut = false
  }

  /// Runs the program to its end. `input` goes to its standard input; its standard output goes to the log unless `keeping`.
  /// Throws `StageFailure` where it cannot be started, and `CancellationError` after ending it.
  func run(
    _ arguments: [String], input: String? = nil, keeping: Bool = false, within seconds: Double = 600
  ) async throws -> Ended {
    try Task.checkCancellation()
    let child = try Child(arguments, self, input: input, keeping: keeping)
    if let processFile { child.writeDown(in: processFile) }
    defer { if let processFile { unlink(processFile) } }
    let limit = Task.detached {
      try await Task.sleep(for: .seconds(seconds))
      child.end(timedOut: true)
    }
    defer { limit.cancel() }
    let ended = await withTaskCancellationHandler {
      await child.wait()
    } onCancel: {
      child.end(timedOut: false)
    }
    try Task.checkCancellation()
    return ended
  }

  /// Those of git(1) that name a repository, as a hook or a rebase sets them: a run has its own.
  private static let ofGit: Set = [
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX",
  ]

  /// KEY=VALUE, sorted.
  func variables(over inherited: [String: String]) -> [String] {
    var all = inherited.filter { !Self.ofGit.contains($0.key) && !withheld.contains($0.key) }
    for entry in environment {
      let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      all[String(parts[0])] = parts.count > 1 ? String(parts[1]) : ""
    }
    return all.map { "\($0.key)=\($0.value)" }.sorted()
  }

  /// Ends what a killed run left behind: the group of the process that is written down, if it is still that one.
  static func endLeftover(_ file: String) {
    guard let text = try? SmallFile.text(file) else { return }
    let parts = text.split(whereSeparator: \.isWhitespace)
    defer { unlink(file) }
    guard parts.count == 2, let pid = Int32(parts[0]), pid > 1, startTime(of: pid) == String(parts[1]) else { return }
    kill(-pid, SIGKILL)
  }

  /// Field 22 of /proc/PID/stat: with the pid, one process of this boot.
  static func startTime(of pid: Int32) -> String? {
    guard let text = try? SmallFile.text("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: end)...].split(separator: " ")
    return fields.count > 19 ? String(fields[19]) : nil
  }
}

private final class Child: Sendable {
  private struct State {
    var exited = false
    var timedOut = false
  }

  private let pid: Int32
  private let input: String?
  private let toChild: Int32
  private let fromChild: Int32
  private let state = Mutex(State())

  init(_ arguments: [String], _ shell: Shell, input: String?, keeping: Bool) throws {
    self.input = input
    var near = [Int32](repeating: -1, count: 2)
    var far = [Int32](repeating: -1, count: 2)
    let null = try FileDescriptor.open("/dev/null", O_RDWR)
    if input != nil { try systemCall("pipe2") { pipe2(&near, O_CLOEXEC) } }
    if keeping { try systemCall("pipe2") { pipe2(&far, O_CLOEXEC) } }
    let log = shell.log?.descriptor ?? null.rawValue
    var stage: Int32 = 0
    let variables = shell.variables(over: ProcessInfo.processInfo.environment)
    let started = withStrings(arguments) { argv in
      withStrings(variables) { envp in
        shell.directory.withCString { directory in
          var process = nl_process()
          process.argv = UnsafePointer(argv)
          process.envp = UnsafePointer(envp)
          process.directory = directory
          (process.net, process.mount, process.uts) = (-1, -1, -1)
          process.input = input == nil ? null.rawValue : near[0]
          process.output = keeping ? far[1] : log
          process.error = log
          process.uid = .max
          process.gid = .max
          return nl_spawn(&process, &stage)
        }
      }
    }
    let code = errno
    if input != nil { close(near[0]) }
    if keeping { close(far[1]) }
    (toChild, fromChild) = (near[1], far[0])
    pid = started
    guard started > 0 else {
      if input != nil { close(toChild) }
      if keeping { close(fromChild) }
      let program = arguments.first ?? ""
      throw StageFailure(.environment, "cannot run \(program): \(SystemError("exec", code).text)")
    }
  }

  func writeDown(in file: String) {
    guard let time = Shell.startTime(of: pid) else { return }
    try? SmallFile.write(file, "\(pid) \(time)\n", mode: 0o600)
  }

  /// SIGTERM to all of its group, SIGKILL five seconds later to what is left.
  func end(timedOut: Bool) {
    let isOver = state.withLock { state in
      if timedOut, !state.exited { state.timedOut = true }
      if !state.exited { kill(-pid, SIGTERM) }
      return state.exited
    }
    if isOver { return }
    DispatchQueue.global().asyncAfter(deadline: .now() + 5) { [self] in
      state.withLock { state in
        if !state.exited { kill(-pid, SIGKILL) }
      }
    }
  }

  func wait() async -> Shell.Ended {
    await withCheckedContinuation { continuation in
      Thread.run { [self] in continuation.resume(returning: waitHere()) }
    }
  }

  private func waitHere() -> Shell.Ended {
    if let input {
      let descriptor = toChild
      Thread.run {
        // A program that does not read its input gets none: SIGPIPE is ignored.
        try? SmallFile.writeAll(descriptor, Array(input.utf8))
        close(descriptor)
      }
    }
    var output: [UInt8] = []
    if fromChild >= 0 {
      var chunk = [UInt8](repeating: 0, count: 16384)
      while true {
        let count = read(fromChild, &chunk, chunk.count)
        if count < 0, errno == EINTR { continue }
        if count <= 0 { break }
        if output.count < 16 << 20 { output.append(contentsOf: chunk[0..<count]) }
      }
      close(fromChild)
    }
    // Looked at before it is reaped, so that its number is nobody else's when the group gets a signal.
    var info = siginfo_t()
    while waitid(P_PID, UInt32(pid), &info, WEXITED | WNOWAIT) < 0, errno == EINTR {}
    let timedOut = state.withLock { state in
      state.exited = true
      // What it left running in the background has no place in what comes next.
      kill(-pid, SIGKILL)
      return state.timedOut
    }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    let exit: Int32 =
      switch ProcessExit(waitStatus: status) {
      case .exited(let code): code
      case .signaled(let number): 128 + number
      }
    return Shell.Ended(exit: exit, output: String(decoding: output, as: UTF8.self), timedOut: timedOut)
  }
}

/// Threads for what blocks: the pool of Swift's tasks has one per processor, and each may wait for minutes here.
enum Thread {
  static func run(_ body: @escaping @Sendable () -> Void) {
    let queue = DispatchQueue(label: "netloom.delivery")
    queue.async(execute: body)
  }

  /// Runs what blocks, away from the task.
  static func value<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      run { continuation.resume(with: Result { try body() }) }
    }
  }
}

private func withStrings<Result>(
  _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  let pointers = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
  for (index, text) in strings.enumerated() { (pointers + index).initialize(to: strdup(text)) }
  (pointers + strings.count).initialize(to: nil)
  defer {
    for index in strings.indices { free(pointers[index]) }
    pointers.deallocate()
  }
  return body(pointers)
}
