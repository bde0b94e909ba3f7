internal import CLinux
internal import EventLoop
internal import FoundationEssentials
internal import Glibc

/// What a program left behind.
public struct ToolOutput: Sendable, Equatable {
  /// 128 and the signal's number where a signal ended it.
  public var exit: Int32
  public var output: String
  public var errorOutput: String
  /// It was killed because its time was up.
  public var timedOut: Bool
}

/// Where umoci and skopeo run: here, or in the namespaces of a running lab's node, so that their packets go over the
/// lab's own network and the names of its nodes resolve.
public struct ToolRunner: Sendable {
  private let prefix: [String]

  public static let here = ToolRunner(prefix: [])

  /// - Parameter netloom: path of the program; nil: the one that runs this.
  public static func inNode(_ node: String, lab: String, netloom: String? = nil) -> ToolRunner {
    ToolRunner(prefix: [netloom ?? "/proc/self/exe", "exec", "--lab", lab, node, "--"])
  }

  /// Runs a program of the PATH to its end; its group is killed after `seconds`. At most 1 MiB of each stream is kept.
  /// Throws `environment` when it cannot be started.
  public func run(_ arguments: [String], within seconds: Double = 120) throws(ImageError) -> ToolOutput {
    do throws(SystemError) {
      return try ToolProcess(prefix + arguments).finish(within: seconds)
    } catch {
      throw ImageError(.environment, "cannot run \(arguments.first ?? ""): \(error.text)")
    }
  }

  /// As `run`, for a tool of this machine that is to succeed.
  func need(_ arguments: [String], within seconds: Double = 120) throws(ImageError) {
    let result = try run(arguments, within: seconds)
    guard result.exit == 0 else {
      throw ImageError(.environment, "\(arguments.prefix(2).joined(separator: " ")): \(ToolMessage(result).text)")
    }
  }
}

/// One process with its two streams.
private struct ToolProcess: ~Copyable {
  private let pid: Int32
  private let streams: [Int32]
  private static let limit = 1 << 20

  init(_ arguments: [String]) throws(SystemError) {
    let null = try FileDescriptor.open("/dev/null", O_RDONLY)
    var out: [Int32] = [-1, -1]
    var err: [Int32] = [-1, -1]
    try systemCall("pipe2") { pipe2(&out, O_CLOEXEC) }
    let outWrite = FileDescriptor(owning: out[1])
    let outRead = FileDescriptor(owning: out[0])
    try systemCall("pipe2") { pipe2(&err, O_CLOEXEC) }
    let errWrite = FileDescriptor(owning: err[1])
    let errRead = FileDescriptor(owning: err[0])
    let stdio = (null.rawValue, outWrite.rawValue, errWrite.rawValue)
    let started = Self.spawn(arguments, stdio)
    guard started.pid > 0 else { throw SystemError("exec", started.code, arguments.first ?? "") }
    pid = started.pid
    streams = [outRead.release(), errRead.release()]
  }

  deinit { for stream in streams { close(stream) } }

  private static func spawn(_ arguments: [String], _ stdio: (Int32, Int32, Int32)) -> (pid: Int32, code: Int32) {
    let environment = ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }
    return withCStrings(arguments) { argv in
      withCStrings(environment) { envp in
        var stage: Int32 = 0
        var request = nl_process()
        request.argv = argv
        request.envp = envp
        (request.net, request.mount, request.uts) = (-1, -1, -1)
        (request.input, request.output, request.error) = stdio
        (request.uid, request.gid) = (UInt32.max, UInt32.max)
        let pid = nl_spawn(&request, &stage)
        return (pid, errno)
      }
    }
  }

  private static func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
  ) -> Result {
    let pointers = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
    for (index, string) in strings.enumerated() { (pointers + index).initialize(to: strdup(string)) }
    (pointers + strings.count).initialize(to: nil)
    defer {
      for index in strings.indices { free(pointers[index]) }
      pointers.deallocate()
    }
    return body(UnsafePointer(pointers))
  }

  consuming func finish(within seconds: Double) throws(SystemError) -> ToolOutput {
    var kept: [[UInt8]] = [[], []]
    let timedOut = !collect(&kept, deadline: EventLoop.clock() + UInt64(max(0, min(seconds, 86_400)) * 1e9))
    if timedOut { kill(-pid, SIGKILL) }
    var status: Int32 = 0
    let child = pid
    try systemCall("waitpid") { waitpid(child, &status, 0) }
    let exit =
      switch ProcessExit(waitStatus: status) {
      case .exited(let code): code
      case .signaled(let number): 128 + number
      }
    return ToolOutput(
      exit: exit, output: String(decoding: kept[0], as: UTF8.self),
      errorOutput: String(decoding: kept[1], as: UTF8.self),
      timedOut: timedOut)
  }

  /// Reads both streams to their ends; false when the time was up before.
  private borrowing func collect(_ kept: inout [[UInt8]], deadline: UInt64) -> Bool {
    var open = [true, true]
    var chunk = [UInt8](repeating: 0, count: 16384)
    while open.contains(true) {
      let now = EventLoop.clock()
      guard now < deadline else { return false }
      var polls = streams.indices.map { pollfd(fd: open[$0] ? streams[$0] : -1, events: Int16(POLLIN), revents: 0) }
      let wait = Int32(clamping: (deadline - now) / 1_000_000 + 1)
      guard poll(&polls, 2, wait) > 0 else { continue }
      for index in streams.indices where polls[index].revents != 0 {
        let count = read(streams[index], &chunk, chunk.count)
        if count <= 0 {
          open[index] = count < 0 && errno == EINTR
        } else {
          kept[index] += chunk[0..<min(count, Self.limit - kept[index].count)]
        }
      }
    }
    return true
  }
}

/// What a tool says about its failure: umoci and skopeo write log lines, of which the last fatal one tells.
struct ToolMessage {
  let text: String

  init(_ result: ToolOutput) {
    if result.timedOut {
      text = "no answer in time"
      return
    }
    let lines = result.errorOutput.split(separator: "\n").map { Self.plain(String($0)) }.filter { !$0.isEmpty }
    text = lines.last ?? "ended with \(result.exit)"
  }

  /// `time=… level=fatal msg="…"` → what stands in msg; umoci's `   ⨯ …` → without the mark.
  private static func plain(_ line: String) -> String {
    var text = line
    if let start = line.firstRange(of: "msg=\"") {
      text = String(line[start.upperBound...])
      if text.hasSuffix("\"") { text.removeLast() }
      text = text.replacing("\\\"", with: "\"")
    }
    while let first = text.unicodeScalars.first, first == " " || first == "⨯" || first == "•" { text.removeFirst() }
    return text
  }
}
