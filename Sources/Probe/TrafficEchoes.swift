import Capture
import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof

/// ICMP echo requests at a steady pace, whoever answers them; their delay is there and back.
final class EchoStream: TrafficStream {
  private let plan: TrafficPlan
  private let socket: FileDescriptor
  private let isIPv4: Bool
  private var schedule: TrafficSchedule?
  private var payload: [UInt8]
  private var buffer: [UInt8]
  private(set) var ledger = TrafficLedger()
  private(set) var failure: String?

  init(_ plan: TrafficPlan) throws(SystemError) {
    self.plan = plan
    let family = plan.flow.destination.family
    let isIPv4 = family == .ipv4
    self.isIPv4 = isIPv4
    socket = try ProbeSocket.inside(plan.flow.fromNamespace) { () throws(SystemError) -> FileDescriptor in
      let file = try ProbeSocket.make(family, SOCK_RAW, isIPv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)
      try DatagramReceiver.widen(file.rawValue)
      try ProbeSocket.set(file.rawValue, SOL_SOCKET, ReceiveStamps.option, 1)
      try ProbeSocket.setTrafficClass(file.rawValue, family, plan.trafficClass)
      if let source = plan.flow.source { try ProbeSocket.bind(file.rawValue, source, 0) }
      // From now on it hears the destination alone.
      try ProbeSocket.connect(file.rawValue, plan.flow.destination, 0)
      return file
    }
    payload = [UInt8](repeating: 0, count: plan.payload)
    payload.replaceSubrange(0..<RateDatagram.keyLength, with: plan.flow.key[0..<RateDatagram.keyLength])
    buffer = [UInt8](repeating: 0, count: Self.longestHeader + Self.header + RateDatagram.headerLength)
  }

  /// Raw IPv4 sockets hand over the IP header, which has 60 bytes at most.
  private static let longestHeader = 60
  /// ICMP's.
  private static let header = 8

  var next: UInt64 { schedule?.next ?? 0 }

  func descriptors(sending: Bool) -> [pollfd] { [] }

  func receive() {
    let key = plan.flow.key[0..<RateDatagram.keyLength]
    let answer: UInt8 = isIPv4 ? 0 : 129
    buffer.withUnsafeMutableBytes { bytes in
      while let (length, time) = ReceiveStamps.receive(socket.rawValue, bytes) {
        let start = isIPv4 ? Int((bytes.first ?? 0) & 0xF) * 4 : 0
        let kept = UnsafeRawBufferPointer(rebasing: bytes.prefix(length))
        guard kept.count > start + Self.header, kept[start] == answer,
          let unit = TrafficUnit(UnsafeRawBufferPointer(rebasing: kept[(start + Self.header)...]), key: key)
        else { continue }
        ledger.arrived(unit.number, sentAt: unit.sentAt, at: time, bytes: length - start - Self.header)
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
    let time = Tracer.realtime()
    let message = request(time)
    if Glibc.send(socket.rawValue, message, message.count, Int32(MSG_NOSIGNAL)) < 0 {
      switch SendRefusal(errno) {
      case .later: return false
      case .lost: break
      case .tooLong: return fail("datagrams of \(payload.count) bytes are too long for the way")
      case .failed(let reason): return fail(reason)
      }
    }
    ledger.left(at: time)
    return true
  }

  private func fail(_ reason: String) -> Bool {
    failure = "\(plan.flow.from): \(reason)"
    return false
  }

  private func request(_ time: UInt64) -> [UInt8] {
    RateDatagram.write(ledger.sent, UInt32.random(in: 0...UInt32.max), time, to: &payload)
    let number = UInt16(truncatingIfNeeded: ledger.sent)
    var message: [UInt8] = [isIPv4 ? 8 : 128, 0, 0, 0]
    message += [plan.flow.key[10], plan.flow.key[11], UInt8(number >> 8), UInt8(number & 255)]
    message += payload
    guard isIPv4 else { return message }  // ICMPv6's is the kernel's work (RFC 3542 section 3.1)
    let sum = internetChecksum(message)
    message[2] = UInt8(sum >> 8)
    message[3] = UInt8(sum & 255)
    return message
  }
}
