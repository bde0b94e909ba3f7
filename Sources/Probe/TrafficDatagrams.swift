import Capture
import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof

/// Numbered UDP datagrams from one node to a socket in another.
final class DatagramStream: TrafficStream {
  private let plan: TrafficPlan
  private let sender: FileDescriptor
  private let receiver: FileDescriptor
  private var schedule: TrafficSchedule?
  private var datagram: [UInt8]
  private var buffer = [UInt8](repeating: 0, count: RateDatagram.headerLength)
  private(set) var ledger = TrafficLedger()
  private(set) var failure: String?

  init(_ plan: TrafficPlan) throws(SystemError) {
    guard let far = plan.far else { throw SystemError("connect", EHOSTUNREACH, "\(plan.flow.destination)") }
    self.plan = plan
    receiver = try ProbeSocket.inside(far.namespace) { () throws(SystemError) -> FileDescriptor in
      let file = try DatagramReceiver.open(far.endpoint.address, far.endpoint.port ?? plan.flow.port)
      try ProbeSocket.set(file.rawValue, SOL_SOCKET, ReceiveStamps.option, 1)
      return file
    }
    let family = plan.flow.destination.family
    sender = try ProbeSocket.inside(plan.flow.fromNamespace) { () throws(SystemError) -> FileDescriptor in
      let file = try ProbeSocket.make(family, SOCK_DGRAM)
      try ProbeSocket.setTrafficClass(file.rawValue, family, plan.trafficClass)
      if let source = plan.flow.source { try ProbeSocket.bind(file.rawValue, source, 0) }
      try ProbeSocket.connect(file.rawValue, plan.flow.destination, plan.flow.port)
      return file
    }
    let size = plan.adapts ? min(plan.payload, DatagramSender.fitting(sender.rawValue, family)) : plan.payload
    datagram = [UInt8](repeating: 0, count: size)
    datagram.replaceSubrange(0..<RateDatagram.keyLength, with: plan.flow.key[0..<RateDatagram.keyLength])
  }

  var next: UInt64 { schedule?.next ?? 0 }

  func descriptors(sending: Bool) -> [pollfd] { [] }

  func receive() {
    let key = plan.flow.key[0..<RateDatagram.keyLength]
    buffer.withUnsafeMutableBytes { bytes in
      while let (length, time) = ReceiveStamps.receive(receiver.rawValue, bytes) {
        guard let unit = TrafficUnit(UnsafeRawBufferPointer(bytes), key: key), length >= bytes.count else { continue }
        ledger.arrived(unit.number, sentAt: unit.sentAt, at: time, bytes: length)
      }
    }
  }

  func send(_ now: UInt64) {
    var schedule = schedule ?? TrafficSchedule(pace: plan.pace ?? 1, start: now)
    defer { self.schedule = schedule }
    schedule.run(now, attempt)
  }

  /// - Returns: whether the kernel took it, be it to drop it.
  private func attempt() -> Bool {
    // The second time where the first only told of an ICMP error about an earlier one.
    for _ in 0..<2 {
      let time = Tracer.realtime()
      RateDatagram.write(ledger.sent, UInt32.random(in: 0...UInt32.max), time, to: &datagram)
      if Glibc.send(sender.rawValue, datagram, datagram.count, Int32(MSG_NOSIGNAL)) >= 0 {
        ledger.left(at: time)
        return true
      }
      switch SendRefusal(errno) {
      case .later: return false
      case .tooLong where shorten(), .lost: break
      case .tooLong: return fail("datagrams of \(datagram.count) bytes are too long for the way")
      case .failed(let reason): return fail(reason)
      }
    }
    ledger.left(at: Tracer.realtime())
    return true
  }

  private func fail(_ reason: String) -> Bool {
    failure = "\(plan.flow.from): \(reason)"
    return false
  }

  private func shorten() -> Bool {
    let fits = DatagramSender.fitting(sender.rawValue, plan.flow.destination.family)
    guard plan.adapts, fits < datagram.count else { return false }
    datagram.removeLast(datagram.count - fits)
    return true
  }
}
