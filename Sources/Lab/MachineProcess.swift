internal import CLinux
internal import ControlProtocol
internal import Dispatch
internal import EventLoop
internal import Glibc

/// netloom-machine as `up` starts it: a process of its own session that outlives this one. It says on a pipe how far
/// it has come, one line each: `progress TEXT`, then `ready` or `error TEXT`, and closes it.
struct MachineProcess: Sendable {
  enum Report: Sendable, Equatable {
    case progress(String)
    case ready
    case failed(String)
  }

  let pid: Int32
  let reports: AsyncStream<Report>

  /// The lock is inherited: from here on the new process holds the lab's name.
  static func start(
    _ program: String, in directory: RunDirectory, lock: borrowing LabLock, environment: [String]
  ) throws(LabError) -> MachineProcess {
    do {
      var ends: [Int32] = [-1, -1]
      try systemCall("pipe2") { pipe2(&ends, O_CLOEXEC) }
      let readEnd = FileDescriptor(owning: ends[0])
      let writeEnd = FileDescriptor(owning: ends[1])
      let log = try FileDescriptor.open(directory.log("machine"), O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
      let null = try FileDescriptor.open("/dev/null", O_RDONLY)
      let ready = writeEnd.rawValue
      let held = lock.file.rawValue
      let arguments = [program, "--run", directory.path, "--ready", "\(ready)", "--lock", "\(held)"]
      var stage: Int32 = 0
      let pid = withCStrings(arguments) { argv in
        withCStrings(environment) { envp in
          spawn(argv, envp, stdio: (null.rawValue, log.rawValue), keep: [ready, held], &stage)
        }
      }
      guard pid > 0 else { throw SystemError.last("exec", program) }
      return MachineProcess(pid: pid, reports: reports(from: readEnd))
    } catch {
      throw LabError(.environment, "cannot start the lab's machine process: \(error)")
    }
  }

  /// Collects the exit status once the process has ended, so that no zombie stays while this one goes on.
  func reap() {
    var status: Int32 = 0
    _ = waitpid(pid, &status, WNOHANG)
  }

  private static func spawn(
    _ argv: UnsafePointer<UnsafeMutablePointer<CChar>?>, _ envp: UnsafePointer<UnsafeMutablePointer<CChar>?>,
    stdio: (input: Int32, output: Int32), keep: [Int32], _ stage: inout Int32
  ) -> Int32 {
    keep.withUnsafeBufferPointer { kept in
      var request = nl_process()
      request.argv = argv
      request.envp = envp
      (request.net, request.mount, request.uts) = (-1, -1, -1)
      (request.input, request.output, request.error) = (stdio.input, stdio.output, stdio.output)
      request.keep = kept.baseAddress
      request.keep_count = Int32(kept.count)
      (request.uid, request.gid) = (UInt32.max, UInt32.max)
      return nl_spawn(&request, &stage)
    }
  }

  /// A thread of its own reads the pipe: it ends with the pipe's other end, which netloom-machine closes.
  private static func reports(from pipe: consuming FileDescriptor) -> AsyncStream<Report> {
    let raw = pipe.release()
    let (stream, continuation) = AsyncStream.makeStream(of: Report.self)
    DispatchQueue(label: "netloom.machine.reports").async {
      var buffer: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 4096)
      while case let count = read(raw, &chunk, chunk.count), count > 0 || (count < 0 && errno == EINTR) {
        buffer += chunk[0..<max(0, count)]
        while let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
          if let report = parse(String(decoding: buffer[0..<end], as: UTF8.self)) { continuation.yield(report) }
          buffer.removeSubrange(0...end)
        }
      }
      close(raw)
      continuation.finish()
    }
    return stream
  }

  static func parse(_ line: String) -> Report? {
    let parts = line.split(separator: " ", maxSplits: 1).map(String.init)
    switch parts.first {
    case "progress": return .progress(parts.count > 1 ? parts[1] : "")
    case "ready": return .ready
    case "error": return .failed(parts.count > 1 ? parts[1] : "unknown error")
    default: return nil
    }
  }
}

/// The strings as a NULL-terminated array of C strings.
func withCStrings<Result>(
  _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
  pointers.append(nil)
  defer { for pointer in pointers { free(pointer) } }
  return pointers.withUnsafeBufferPointer { buffer in
    // An array of at least one element has a base address.
    guard let base = buffer.baseAddress else { preconditionFailure("an array that holds nil is not empty") }
    return body(base)
  }
}
