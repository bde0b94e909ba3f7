// `netloom exec`: a process in a node that behaves as if it had been started here.
//
//   stdin, stdout, stderr ──SCM_RIGHTS──► netloom-machine ──► the process           (no terminal)
//   terminal ◄──raw──► netloom ◄──pty master, SCM_RIGHTS── netloom-machine ──► pty  (stdin and stdout are terminals)
//
// Without a terminal the process gets the very descriptors of this one, so nothing is copied here and end of input is
// what it always is. With one it gets a new pty in the lab: a controlling terminal cannot be shared over sessions.
// Signals travel as messages, window sizes by TIOCSWINSZ on the master. The exit code is the process's, 128 + n when
// signal n ended it.

internal import CLinux
internal import ControlProtocol
internal import EventLoop
internal import Glibc
internal import SwiftProtobuf

/// What to run.
public struct ExecRequest: Sendable {
  /// A node; "": the lab's own context, its namespaces without any node's.
  public var node: String
  public var argv: [String]
  /// KEY=VALUE: all that it gets, beside what the node's `env` says.
  public var environment: [String]
  /// Where it starts; `/` where the lab does not see that directory.
  public var directory: String
  /// Its stdin, stdout and stderr.
  public var descriptors: [Int32] = [0, 1, 2]
  /// Give it a terminal when stdin and stdout are one.
  public var wantsTerminal: Bool

  public init(
    node: String, argv: [String], environment: [String], directory: String, wantsTerminal: Bool = true
  ) {
    self.node = node
    self.argv = argv
    self.environment = environment
    self.directory = directory
    self.wantsTerminal = wantsTerminal
  }
}

extension Lab {
  /// The signals that a running command gets in place of this process.
  fileprivate static let forwarded = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH]

  /// Keeps those signals from this thread and from all that it starts. Wanted before other threads exist; `run` does
  /// it too, but then only for its own.
  public static func holdSignals() {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in forwarded { sigaddset(&set, signal) }
    pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  /// Runs the command to its end on this process's stdio and returns its exit code. Call it before other threads
  /// exist: the signals that it forwards are blocked in this thread and those made later.
  public func run(_ request: ExecRequest) throws(LabError) -> Int32 {
    do {
      let session = try ExecSession(self, request)
      return try session.run()
    } catch let error as LabError {
      throw error
    } catch {
      throw LabError(.environment, "lab \(name) cannot run commands: \(error)")
    }
  }
}

private final class ExecSession {
  private let loop: EventLoop
  private let connection: StreamConnection
  private let request: ExecRequest
  private var reader = FrameReader()
  private var arrived: [Int32] = []
  private var relay: TerminalRelay?
  private var outcome: Result<Int32, LabError>?

  init(_ lab: Lab, _ request: ExecRequest) throws {
    self.request = request
    loop = try EventLoop()
    let socket: FileDescriptor
    do {
      socket = try UnixSocket.connect(lab.directory.machineSocket)
    } catch {
      throw LabError(.environment, "lab \(lab.name) takes no commands (\(error)); see \(lab.directory.log("machine"))")
    }
    connection = try StreamConnection(loop, socket)
  }

  func run() throws -> Int32 {
    try loop.onSignals(Lab.forwarded) { [unowned self] in forward($0) }
    connection.onDescriptors = { [unowned self] in arrived += $0 }
    connection.onBytes = { [unowned self] in receive($0) }
    connection.onClose = { [unowned self] _ in
      finish(.failure(LabError(.didNotHold, "the lab ended while the command was running")))
    }
    var execute = NLExecute()
    execute.node = request.node
    execute.argv = request.argv
    execute.environment = request.environment
    execute.directory = request.directory
    if request.wantsTerminal, isatty(0) == 1, isatty(1) == 1, let size = TerminalRelay.size(of: 0) {
      execute.terminal = true
      execute.rows = UInt32(size.ws_row)
      execute.columns = UInt32(size.ws_col)
    }
    try connection.send(frame(.with { $0.execute = execute }), descriptors: request.descriptors)
    try loop.run()
    relay?.drain()
    relay = nil
    return try outcome?.get() ?? 0
  }

  private func finish(_ result: Result<Int32, LabError>) {
    if outcome == nil { outcome = result }
    loop.stop()
  }

  private func frame(_ message: NLToMachine) throws -> [UInt8] { try ControlProtocol.frame(message) }

  private func forward(_ signal: Int32) {
    if signal == SIGWINCH {
      relay?.resize()
    } else if let bytes = try? frame(.with { $0.signal = .with { $0.number = signal } }) {
      connection.send(bytes)
    }
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    reader.append(bytes)
    do {
      while let message = try reader.next(NLFromMachine.self) { try handle(message) }
    } catch {
      finish(.failure(LabError(.environment, "the lab's machine process said something unexpected: \(error)")))
    }
  }

  private func handle(_ message: NLFromMachine) throws {
    switch message.body {
    case .started:
      if !arrived.isEmpty { relay = try TerminalRelay(loop, master: FileDescriptor(owning: arrived.removeFirst())) }
    case .exited(let exited):
      finish(.success(exited.signal == 0 ? exited.code : 128 + exited.signal))
    case .error(let text):
      // The words of the command were looked at before it went out: the node is switched off, or cannot start it.
      finish(.failure(LabError(.environment, text)))
    case nil:
      break
    }
  }
}

/// This terminal in raw mode, connected with a pty's master.
private final class TerminalRelay {
  private let loop: EventLoop
  private let master: FileDescriptor
  private var saved = termios()

  init(_ loop: EventLoop, master: consuming FileDescriptor) throws(SystemError) {
    self.loop = loop
    let raw = master.rawValue
    self.master = master
    tcgetattr(0, &saved)
    var settings = saved
    cfmakeraw(&settings)
    tcsetattr(0, TCSANOW, &settings)
    try loop.register(raw, .read) { [unowned self] _ in
      if !copy(from: raw, to: 1) { loop.unregister(raw) }
    }
    try loop.register(0, .read) { [unowned self] _ in
      if !copy(from: 0, to: raw) { loop.unregister(0) }
    }
  }

  deinit { tcsetattr(0, TCSADRAIN, &saved) }

  static func size(of terminal: Int32) -> winsize? {
    var size = winsize()
    return ioctl(terminal, UInt(TIOCGWINSZ), &size) == 0 ? size : nil
  }

  func resize() {
    guard var size = Self.size(of: 0) else { return }
    _ = ioctl(master.rawValue, UInt(TIOCSWINSZ), &size)
  }

  /// Writes what the process said last: its exit may be known before its output was read.
  func drain() {
    var entry = pollfd(fd: master.rawValue, events: Int16(POLLIN), revents: 0)
    while poll(&entry, 1, 0) > 0, entry.revents & Int16(POLLIN) != 0, copy(from: master.rawValue, to: 1) {}
  }

  /// False at the end: EOF, or EIO from a master whose other side has been closed.
  private func copy(from source: Int32, to target: Int32) -> Bool {
    let count = read(source, loop.scratch.baseAddress, loop.scratch.count)
    if count < 0 { return errno == EAGAIN || errno == EINTR }
    guard count > 0 else { return false }
    var written = 0
    while written < count {
      let result = write(target, loop.scratch.baseAddress?.advanced(by: written), count - written)
      if result < 0, errno != EAGAIN, errno != EINTR { return false }
      written += max(0, result)
    }
    return true
  }
}
