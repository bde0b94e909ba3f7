import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof

/// TCP connections: handshake, a small payload both ways with our own responder, a graceful close. Their initial
/// sequence numbers are chosen here (TCP_REPAIR, tcp(7); CRIU's way), so that the captures can pick these connections
/// out by what no NAT changes.
final class ConnectionExchange: Exchange {
  private enum Phase {
    case connecting
    /// The payload is out, the echo is awaited.
    case echo([UInt8])
    /// Our FIN is out, the other side's is awaited until then.
    case closing(until: UInt64)
    case ended
  }

  private struct Connection {
    var file: Int32
    var state: ProbeState
    var phase = Phase.connecting
  }

  private let plan: TracePlan
  private let withEcho: Bool
  private var connections: [Connection] = []
  private(set) var refusals: [String] = []
  private(set) var roundTrip: UInt64 = 0
  private var next = 0
  private var pacing = Pacing()
  private let namespace: FileDescriptor

  /// - Parameter withEcho: our responder is at the other end.
  init(_ plan: TracePlan, withEcho: Bool) throws(SystemError) {
    self.plan = plan
    self.withEcho = withEcho
    namespace = try FileDescriptor.open(plan.fromNamespace, O_RDONLY)
    let opened = try inNamespace(namespace.rawValue) { () throws(SystemError) -> [Int32] in
      var opened: [Int32] = []
      for index in 0..<plan.count { opened.append(try Self.open(plan, index).release()) }
      return opened
    }
    connections = opened.enumerated().map { index, file in
      Connection(
        file: file,
        state: ProbeState(
          .sequence(plan.sequence(index)), source: nil, destination: Endpoint(plan.destination, plan.port)))
    }
  }

  deinit { for connection in connections where connection.file >= 0 { _ = close(connection.file) } }

  /// A socket whose connection will begin with the plan's sequence number; in the calling thread's network namespace.
  static func open(_ plan: TracePlan, _ index: Int) throws(SystemError) -> FileDescriptor {
    let file = try ProbeSocket.make(plan.destination.family, SOCK_STREAM)
    let level = Int32(IPPROTO_TCP)
    try ProbeSocket.set(file.rawValue, level, TCP_SYNCNT, 2)  // three SYNs in all
    try ProbeSocket.set(file.rawValue, level, TCP_NODELAY, 1)
    try ProbeSocket.set(file.rawValue, level, TCP_REPAIR, 1)
    try ProbeSocket.set(file.rawValue, level, TCP_REPAIR_QUEUE, 2)  // TCP_SEND_QUEUE (linux/tcp.h)
    try ProbeSocket.set(file.rawValue, level, TCP_QUEUE_SEQ, Int32(bitPattern: plan.sequence(index)))
    try ProbeSocket.set(file.rawValue, level, TCP_REPAIR, 0)
    if let source = plan.source { try ProbeSocket.bind(file.rawValue, source, 0) }
    return file
  }

  var descriptors: [pollfd] {
    connections[0..<next].compactMap { connection in
      switch connection.phase {
      case .connecting: pollfd(fd: connection.file, events: Int16(POLLOUT), revents: 0)
      case .echo, .closing: pollfd(fd: connection.file, events: Int16(POLLIN), revents: 0)
      case .ended: nil
      }
    }
  }

  var isFinished: Bool {
    next == connections.count && connections.allSatisfy { if case .ended = $0.phase { true } else { false } }
  }
  var probes: [FlowProbe] { connections.map(\.state.probe) }
  var lastStart: UInt64? { connections.map(\.state).lastStart(next) }

  func step(_ now: UInt64) {
    for index in 0..<next { advance(index, now) }
    guard next < connections.count else { return }
    for _ in 0..<pacing.allowance(connections.map(\.state), started: next, now) {
      start(next, now)
      next += 1
    }
  }

  private func start(_ index: Int, _ now: UInt64) {
    let file = connections[index].file
    connections[index].state.sentAt = now
    do {
      try ProbeSocket.connect(file, plan.destination, plan.port)
    } catch  where error.code == EINPROGRESS {
    } catch {
      connections[index].state.probe.refusal = .init(error)
      refusals.append("\(plan.from): \(error.text)")
      return end(index)
    }
    connections[index].state.probe.sent = true
    if let name = try? ProbeSocket.name(file) {
      connections[index].state.probe.source = Endpoint(name.address, name.port)
    }
  }

  private func advance(_ index: Int, _ now: UInt64) {
    switch connections[index].phase {
    case .connecting: finishHandshake(index, now)
    case .echo(let received): receiveEcho(index, received, now)
    case .closing(let limit):
      if now >= limit || streamEnded(connections[index].file) { end(index) }
    case .ended: break
    }
  }

  private func finishHandshake(_ index: Int, _ now: UInt64) {
    let file = connections[index].file
    var ready = pollfd(fd: file, events: Int16(POLLOUT), revents: 0)
    guard poll(&ready, 1, 0) == 1 else { return }
    var failure: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(file, SOL_SOCKET, SO_ERROR, &failure, &length)
    // A RST in answer to our SYN is ECONNREFUSED; one of a connection that stood is ECONNRESET, or EPIPE after the other
    // side's FIN (RFC 9293 section 3.10.7): a service that closed at once.
    let ended = failure == ECONNRESET || failure == EPIPE
    guard ended || failure == 0 && ready.revents & Int16(POLLOUT) != 0 else {
      if failure == ECONNREFUSED { refusals.append("\(plan.to ?? "\(plan.destination)"): connection refused") }
      return end(index)
    }
    roundTrip = max(roundTrip, connections[index].state.answer(now))
    if ended { return end(index) }
    guard withEcho, (try? ProbeSocket.send(file, plan.nonce(index) + [Way.forward.rawValue])) != nil else {
      return finish(index, now)
    }
    connections[index].phase = .echo([])
  }

  private func receiveEcho(_ index: Int, _ received: [UInt8], _ now: UInt64) {
    do {
      guard let bytes = try ProbeSocket.receive(connections[index].file) else { return }
      let all = received + bytes
      guard bytes.isEmpty || all.count > ProbeIdentity.nonceLength else {
        connections[index].phase = .echo(all)
        return
      }
      finish(index, now)
    } catch {
      end(index)
    }
  }

  /// Says that we are done; a service that does not care gets two round trips and 50 ms.
  private func finish(_ index: Int, _ now: UInt64) {
    shutdown(connections[index].file, Int32(SHUT_WR))
    connections[index].phase = .closing(until: now + 2 * roundTrip + 50_000_000)
  }

  /// Reads what is there: true at the end of the stream and after an error.
  private func streamEnded(_ file: Int32) -> Bool {
    do {
      while let bytes = try ProbeSocket.receive(file) {
        if bytes.isEmpty { return true }
      }
      return false
    } catch {
      return true
    }
  }

  private func end(_ index: Int) {
    _ = close(connections[index].file)
    connections[index].file = -1
    connections[index].state.done = true
    connections[index].phase = .ended
  }
}
