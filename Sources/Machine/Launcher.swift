// The outer parent: it takes the lab's name, makes the namespaces that the init lives in, and waits for the init's end
// to remove what has a name. It stays outside the lab's pid namespace, so whatever ends the init, `kill -9` included,
// it sees it at once.
//
//   netloom up ──fork, exec──► outer parent ──fork──► init (PID 1 of the lab)
//      ▲   ready pipe: progress, ready │  ▲ control socket: "ready", "stopped", "error TEXT"
//      └───────────────────────────────┴──┘
//
// Progress and `ready` are written by the init. An error is written by the outer parent, after the clean-up: who reads
// it finds nothing left of the lab. When the outer parent itself is killed, the init sees the control socket close,
// stops the lab and does the clean-up.
import CLinux
import Glibc
import ControlProtocol
import EventLoop
import SwiftProtobuf

struct Launcher {
  private var options: Options
  private let files: RunFiles

  init(_ options: Options) {
    self.options = options
    files = RunFiles(directory: options.directory)
  }

  /// Returns when the lab has ended, or at once in the caller's process when it had to be left to a child.
  mutating func run() -> Int32 {
    do throws(BuildError) {
      try takeLock()
      try openLog()
      guard try leaveTerminal() else { return 0 }
      return try launch()
    } catch {
      report(error: error.description)
      return 3
    }
  }

  /// A lock that was handed over counts; otherwise it is taken here.
  private mutating func takeLock() throws(BuildError) {
    let path = options.directory.lock
    do throws(SystemError) {
      if options.lock < 0 {
        options.lock = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600).release()
      }
      for descriptor in [options.lock, options.ready] where descriptor >= 0 { nl_set_cloexec(descriptor, 1) }
      let lock = options.lock
      try systemCall("flock", path) { flock(lock, LOCK_EX | LOCK_NB) }
    } catch  where error.code == EWOULDBLOCK {
      throw BuildError("another lab holds \(path)")
    } catch {
      throw BuildError(error)
    }
  }

  private func openLog() throws(BuildError) {
    do throws(SystemError) {
      try makeDirectory(options.directory.logs, mode: 0o700)
      try makeDirectory(options.directory.path + "/nodes", mode: 0o755)
      let log = try FileDescriptor.open(
        options.directory.log("machine"), O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
      let null = try FileDescriptor.open("/dev/null", O_RDONLY)
      _ = dup2(null.rawValue, 0)
      _ = dup2(log.rawValue, 1)
      _ = dup2(log.rawValue, 2)
    } catch {
      throw BuildError(error)
    }
  }

  /// Becomes the leader of a session of its own; false in the process that has left this to its child.
  private func leaveTerminal() throws(BuildError) -> Bool {
    if getsid(0) == getpid() { return true }
    let child = nl_fork()
    if child < 0 { throw BuildError(SystemError.last("fork")) }
    if child > 0 { return false }
    setsid()
    return true
  }

  private func launch() throws(BuildError) -> Int32 {
    let rootless = geteuid() != 0
    let users = rootless ? try UserNamespace.enter() : true
    let published = try PublishedPorts(try Self.readPlan(options.directory))
    do throws(SystemError) {
      try systemCall("unshare", "a pid namespace") { unshare(CLONE_NEWPID) }
      let (mine, theirs) = try UnixSocket.pair()
      let child = try systemCall("fork") { nl_fork() }
      if child == 0 {
        _ = close(mine)
        let lab = LabInit(
          options.directory, ready: options.ready, control: theirs, rootless: rootless, hasUsers: users,
          published: published)
        _exit(lab.run())
      }
      _ = close(theirs)
      published.close()
      do throws(SystemError) {
        try SmallFile.write(options.directory.pid, "\(child)\n")
      } catch {
        kill(child, SIGKILL)
        files.remove(initPid: 0, cleanly: false)
        throw error
      }
      return try OuterParent(options, files, child, control: mine).wait()
    } catch {
      throw BuildError(error)
    }
  }

  static func readPlan(_ directory: RunDirectory) throws(BuildError) -> NLMachinePlan {
    do {
      return try NLMachinePlan(serializedBytes: try SmallFile.read(directory.plan))
    } catch {
      throw BuildError("\(directory.plan): not a plan: \(error)")
    }
  }

  private func report(error text: String) {
    MachineLog.error(text)
    guard options.ready >= 0 else { return }
    let line = Array("error \(text.split(separator: "\n").joined(separator: " "))\n".utf8)
    _ = write(options.ready, line, line.count)
  }
}

/// Waits for the init and cleans up after it.
private final class OuterParent {
  private let options: Options
  private let files: RunFiles
  private let pid: Int32
  private let loop: EventLoop
  private let control: StreamConnection
  private var ready: Int32
  private var words: [UInt8] = []
  private var exit: ProcessExit?

  init(_ options: Options, _ files: RunFiles, _ pid: Int32, control: Int32) throws(SystemError) {
    self.options = options
    self.files = files
    self.pid = pid
    ready = options.ready
    loop = try EventLoop()
    self.control = try StreamConnection(loop, FileDescriptor(owning: control))
  }

  func wait() throws(SystemError) -> Int32 {
    try loop.onSignals([SIGTERM, SIGINT, SIGHUP]) { [pid] _ in kill(pid, SIGTERM) }
    control.onBytes = { [unowned self] in hear($0) }
    try loop.onExit(ofChild: pid) { [unowned self] status in
      exit = status
      loop.stop()
    }
    try loop.run()
    try loop.step(timeout: 0)  // its last words
    return cleanUp()
  }

  private func hear(_ bytes: UnsafeRawBufferPointer) {
    words.append(contentsOf: bytes)
    if lines.contains("ready"), ready >= 0 {
      _ = close(ready)
      ready = -1
    }
  }

  private var lines: [String] {
    String(decoding: words, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  private func cleanUp() -> Int32 {
    let cleanly = lines.contains("stopped")
    files.remove(initPid: pid, cleanly: cleanly)
    if !cleanly, let exit { MachineLog.error("the lab's init ended: \(exit)") }
    _ = close(options.lock)
    if ready >= 0, !cleanly {
      let reason = lines.last { $0.hasPrefix("error ") } ?? "error the lab's init ended: \(exit.map { "\($0)" } ?? "")"
      let line = Array((reason + "\n").utf8)
      _ = write(ready, line, line.count)
      _ = close(ready)
    }
    return cleanly ? 0 : 1
  }
}
