import CLinux
import Glibc
import ControlProtocol
import EventLoop
import FoundationEssentials

/// One command that runs to its end with its output kept: at most 4 MiB of each stream, the rest is read and dropped.
/// It has ended when it has exited: a child that it left behind with its streams open does not hold it.
final class CapturedCommand {
  private static let limit = 4 << 20

  private let lab: LabContext
  private var request: SpawnRequest
  private let timeout: UInt64
  private let done: (CapturedCommand, NLMachineReply) -> Void
  private var pid: Int32 = 0
  private var pipes: [Int32] = []
  private var output: [[UInt8]] = [[], []]
  private var timer: LoopTimer?
  private var timedOut = false

  /// - Parameter timeout: milliseconds; 0: none. The whole process group is killed when it is over.
  init(
    _ lab: LabContext, _ request: SpawnRequest, timeout: UInt64,
    done: @escaping (CapturedCommand, NLMachineReply) -> Void
  ) {
    self.lab = lab
    self.request = request
    self.timeout = timeout
    self.done = done
  }

  func start() {
    do {
      let null = try FileDescriptor.open("/dev/null", O_RDONLY)
      let out = try Pipe()
      let err = try Pipe()
      request.input = null.rawValue
      request.output = out.write.rawValue
      request.error = err.write.rawValue
      pid = try lab.table.start(request) { [weak self] status in self?.ended(status) }
      try collect(out.read, 0)
      try collect(err.read, 1)
      if timeout > 0 {
        timer = lab.loop.after(EventLoop.milliseconds(timeout)) { [weak self] in self?.timeIsUp() }
      }
    } catch {
      var reply = NLMachineReply()
      if let error = error as? SpawnError, error.exitCode == 127 || error.stage == NL_SPAWN_EXEC {
        reply.exit = error.exitCode
        reply.errorOutput = .init("\(error)\n".utf8)
      } else {
        reply.error = "\(error)"
      }
      finish(reply)
    }
  }

  private func timeIsUp() {
    timedOut = true
    ProcessTable.signal(group: pid, SIGKILL)
  }

  private struct Pipe: ~Copyable {
    let read: FileDescriptor
    let write: FileDescriptor

    init() throws(SystemError) {
      var ends: [Int32] = [-1, -1]
      try systemCall("pipe2") { pipe2(&ends, O_CLOEXEC) }
      read = FileDescriptor(owning: ends[0])
      write = FileDescriptor(owning: ends[1])
    }
  }

  private func collect(_ end: borrowing FileDescriptor, _ stream: Int) throws(SystemError) {
    let descriptor = try end.duplicate().release()
    pipes.append(descriptor)
    try systemCall("fcntl") { nl_set_flags(descriptor, O_NONBLOCK) }
    try lab.loop.register(descriptor, .read) { [unowned self] _ in
      if !read(descriptor, stream) { lab.loop.unregister(descriptor) }
    }
  }

  /// Takes what is there; false at the end.
  private func read(_ descriptor: Int32, _ stream: Int) -> Bool {
    while true {
      let count = CLinux.read(descriptor, lab.loop.scratch.baseAddress, lab.loop.scratch.count)
      if count < 0 { return SystemError.last("read").code == EAGAIN }
      if count == 0 { return false }
      let room = min(count, Self.limit - output[stream].count)
      output[stream].append(contentsOf: lab.loop.scratch[0..<room])
    }
  }

  private func ended(_ status: ProcessExit) {
    for (stream, descriptor) in pipes.enumerated() { _ = read(descriptor, stream) }
    var reply = NLMachineReply()
    switch status {
    case .exited(let code): reply.exit = code
    case .signaled(let number): reply.exit = 128 + number
    }
    reply.timedOut = timedOut
    reply.output = .init(output[0])
    reply.errorOutput = .init(output[1])
    finish(reply)
  }

  private func finish(_ reply: NLMachineReply) {
    timer?.cancel()
    for descriptor in pipes {
      lab.loop.unregister(descriptor)
      close(descriptor)
    }
    pipes = []
    lab.loop.enqueue { [self] in done(self, reply) }
  }
}
