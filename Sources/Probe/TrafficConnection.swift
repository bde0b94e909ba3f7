import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof

/// Numbered records over one TCP connection: at a steady pace, or as fast as it takes them within what the machine can
/// spare. A record that waits in the sender's socket is on its way: its delay counts from when it was written.
final class ConnectionStream: TrafficStream {
  private enum Phase {
    case connecting
    case open
    case ended
  }

  private struct Candidate {
    var file: Int32
    var bytes: [UInt8] = []
  }
  private static let mostCandidates = 8

  private let plan: TrafficPlan
  private let listener: FileDescriptor
  private let sender: FileDescriptor
  /// Ours; -1: it has not shown itself.
  private var accepted: Int32 = -1
  /// Who connected to the port, until one of them sends our key: others may find the port too, and be silent.
  private var candidates: [Candidate] = []
  private var phase = Phase.connecting
  private var schedule: TrafficSchedule?
  private var record: [UInt8]
  /// How much of `record` the socket has taken; all of it: none is under way.
  private var written: Int
  private var incoming: [UInt8] = []
  private var isFull = false
  private(set) var ledger = TrafficLedger()
  private(set) var failure: String?

  init(_ plan: TrafficPlan) throws(SystemError) {
    guard let far = plan.far else { throw SystemError("connect", EHOSTUNREACH, "\(plan.flow.destination)") }
    self.plan = plan
    listener = try ProbeSocket.inside(far.namespace) { () throws(SystemError) -> FileDescriptor in
      let file = try ProbeSocket.make(far.endpoint.address.family, SOCK_STREAM)
      try ProbeSocket.set(file.rawValue, SOL_SOCKET, SO_REUSEADDR, 1)
      try ProbeSocket.bind(file.rawValue, far.endpoint.address, far.endpoint.port ?? plan.flow.port)
      let raw = file.rawValue
      try systemCall("listen") { listen(raw, 16) }
      return file
    }
    sender = try ProbeSocket.inside(plan.flow.fromNamespace) { () throws(SystemError) -> FileDescriptor in
      try Self.connect(plan)
    }
    record = [UInt8](repeating: 0, count: plan.payload)
    record.replaceSubrange(0..<RateDatagram.keyLength, with: plan.flow.key[0..<RateDatagram.keyLength])
    written = plan.payload
  }

  private static func connect(_ plan: TrafficPlan) throws(SystemError) -> FileDescriptor {
    let family = plan.flow.destination.family
    let file = try ProbeSocket.make(family, SOCK_STREAM)
    try ProbeSocket.setTrafficClass(file.rawValue, family, plan.trafficClass)
    try ProbeSocket.set(file.rawValue, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    // Enough to be sent at once; more would only wait here.
    try ProbeSocket.set(file.rawValue, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, 1 << 17)
    let bits = plan.pace == nil ? TrafficLoad.unpaced.bits : TrafficLoad.most.bits
    try ProbeSocket.set(file.rawValue, SOL_SOCKET, StreamSender.maximumPacingRate, Int32(bits / 8))
    if let source = plan.flow.source { try ProbeSocket.bind(file.rawValue, source, 0) }
    do {
      try ProbeSocket.connect(file.rawValue, plan.flow.destination, plan.flow.port)
    } catch  where error.code == EINPROGRESS {
      return file
    }
    return file
  }

  deinit {
    // What waits in queues of seconds is nobody's any more.
    _ = nl_tcp_reset_on_close(sender.rawValue)
    for file in candidates.map(\.file) + [accepted] where file >= 0 { nl_tcp_abort(file) }
  }

  func descriptors(sending: Bool) -> [pollfd] {
    let writing = sending && (phase == .connecting || phase == .open && isFull)
    var waiting = candidates.map(\.file)
    if candidates.count < Self.mostCandidates { waiting.append(listener.rawValue) }
    let reading = (accepted >= 0 ? [accepted] : waiting).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    return writing ? [pollfd(fd: sender.rawValue, events: Int16(POLLOUT), revents: 0)] + reading : reading
  }

  var next: UInt64 {
    guard phase == .open, !isFull else { return .max }
    return schedule?.next ?? 0
  }

  // MARK: Sending

  func send(_ now: UInt64) {
    switch phase {
    case .connecting: finishHandshake()
    case .open: write(now)
    case .ended: break
    }
  }

  private func finishHandshake() {
    var entry = pollfd(fd: sender.rawValue, events: Int16(POLLOUT), revents: 0)
    guard poll(&entry, 1, 0) > 0 else { return }
    let code = nl_tcp_error(sender.rawValue)
    guard code == 0 else { return fail(code) }
    phase = .open
  }

  private func fail(_ code: Int32) {
    phase = .ended
    failure = "\(plan.far?.node ?? plan.flow.from): \(String(cString: strerror(code)))"
  }

  /// Records written in one turn, so that other streams have theirs.
  private static let turn = 64

  private func write(_ now: UInt64) {
    isFull = false
    guard let pace = plan.pace else {
      for _ in 0..<Self.turn where !writeRecord() { return }
      return
    }
    var schedule = schedule ?? TrafficSchedule(pace: pace, start: now)
    defer { self.schedule = schedule }
    schedule.run(now, writeRecord)
  }

  /// - Returns: whether the socket took it whole.
  private func writeRecord() -> Bool {
    if written == record.count {
      let time = Tracer.realtime()
      RateDatagram.write(ledger.sent, 0, time, to: &record)
      written = 0
    }
    while written < record.count {
      let count = record.withUnsafeBytes { bytes in
        Glibc.send(
          sender.rawValue, bytes.baseAddress.map { $0 + written }, bytes.count - written, Int32(MSG_NOSIGNAL))
      }
      if count < 0 {
        if errno == EAGAIN || errno == EINTR { isFull = true } else { fail(errno) }
        return false
      }
      // It counts as sent once something of it is.
      if written == 0 { ledger.left(at: TrafficUnit.time(record)) }
      written += count
    }
    return true
  }

  // MARK: Receiving

  func receive() {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    if accepted < 0 { findOurs(&buffer) }
    guard accepted >= 0, phase != .ended else { return }
    for _ in 0..<Self.turn {
      let count = recv(accepted, &buffer, buffer.count, 0)
      if count == 0 || count < 0 && errno != EAGAIN && errno != EINTR {
        if phase != .ended { fail(ECONNRESET) }
        return
      }
      guard count > 0 else { return }
      incoming += buffer[0..<count]
      takeRecords()
    }
  }

  private func takeRecords() {
    let now = Tracer.realtime()
    let key = plan.flow.key[0..<RateDatagram.keyLength]
    var offset = 0
    incoming.withUnsafeBytes { bytes in
      while bytes.count - offset >= record.count {
        guard let unit = TrafficUnit(UnsafeRawBufferPointer(rebasing: bytes[offset...]), key: key) else {
          offset = -1
          return
        }
        ledger.arrived(unit.number, sentAt: unit.sentAt, at: now, bytes: record.count)
        offset += record.count
      }
    }
    guard offset >= 0 else { return fail(EPROTO) }
    incoming.removeFirst(offset)
  }

  /// The first who sends our key is ours, and the others are sent away.
  private func findOurs(_ buffer: inout [UInt8]) {
    while candidates.count < Self.mostCandidates, acceptOne() {}
    for index in candidates.indices.reversed() {
      let wanted = record.count - candidates[index].bytes.count
      let count = recv(candidates[index].file, &buffer, min(wanted, buffer.count), 0)
      if count < 0, errno == EAGAIN || errno == EINTR { continue }
      candidates[index].bytes += buffer[0..<max(0, count)]
      guard count > 0, isPossible(candidates[index].bytes) else {
        _ = close(candidates.remove(at: index).file)
        continue
      }
      guard candidates[index].bytes.count == record.count else { continue }
      (accepted, incoming) = (candidates[index].file, candidates.remove(at: index).bytes)
      for other in candidates { _ = close(other.file) }
      candidates = []
      return takeRecords()
    }
  }

  // Apart from the loop that calls it: the compiler's debug information pass (Swift 6.3.1) never ends on a
  // noncopyable value that is bound in a loop's condition.
  private func acceptOne() -> Bool {
    guard let file = try? UnixSocket.accept(listener.rawValue) else { return false }
    candidates.append(Candidate(file: file.release()))
    return true
  }

  /// So far it begins as a record of ours does.
  private func isPossible(_ bytes: [UInt8]) -> Bool {
    zip(bytes, plan.flow.key[0..<RateDatagram.keyLength]).allSatisfy { $0 == $1 }
  }
}

extension TrafficUnit {
  /// When a record of ours says it was sent.
  fileprivate static func time(_ record: [UInt8]) -> UInt64 {
    record.withUnsafeBytes {
      UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: RateDatagram.timeOffset, as: UInt64.self))
    }
  }
}
