import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof

/// Test traffic of one trace: its sockets in the sender's namespace and the conversation on them. Nothing waits in
/// here: the tracer polls `descriptors` and calls `step`.
protocol Exchange: AnyObject {
  /// What to poll for now.
  var descriptors: [pollfd] { get }
  /// Nothing more is expected: every probe was answered or refused, every connection has ended.
  var isFinished: Bool { get }
  /// What the senders know.
  var probes: [FlowProbe] { get }
  /// What the sender's own kernel refused, in words.
  var refusals: [String] { get }
  /// The longest time from sending to answer so far, ns.
  var roundTrip: UInt64 { get }
  /// When the last probe of all left; nil while some still wait for their turn.
  var lastStart: UInt64? { get }
  /// Sends and receives what is possible without waiting.
  func step(_ now: UInt64)
}

/// One probe in the making.
struct ProbeState {
  var probe: FlowProbe
  var sentAt: UInt64 = 0
  /// Answered or refused.
  var done = false

  init(_ identity: ProbeIdentity, source: Endpoint?, destination: Endpoint) {
    probe = FlowProbe(identity: identity, source: source, destination: destination, sent: false, answered: false)
  }

  mutating func answer(_ now: UInt64) -> UInt64 {
    probe.answered = true
    done = true
    return now &- sentAt
  }
}

extension FlowProbe.Refusal {
  /// What sendto(2) and connect(2) say of routes, of rules that drop what is sent, and of packets too large to send.
  init(_ error: SystemError) {
    let reason: DropReason =
      switch error.code {
      case ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES: .noRoute
      case EPERM: .filter
      case EMSGSIZE: .mtu
      case ENOBUFS: .shaper
      default: .unknown
      }
    self.init(reason, error.text)
  }
}

extension [ProbeState] {
  /// Nil while only some have started.
  func lastStart(_ started: Int) -> UInt64? { started == count ? map(\.sentAt).max() ?? 0 : nil }
}

extension Pacing {
  /// How many of the probes that follow the started ones may start now.
  mutating func allowance(_ states: [ProbeState], started: Int, _ now: UInt64) -> Int {
    guard started < states.count else { return 0 }
    let pending = states[0..<started].count { !$0.done }
    let isOpen = states[0..<started].contains(where: \.probe.answered)
    return min(states.count - started, allowance(pending: pending, isOpen: isOpen, now))
  }
}

/// ICMP echo requests from a raw socket; the far kernel answers.
final class EchoExchange: Exchange {
  private let plan: TracePlan
  private let socket: FileDescriptor
  private var states: [ProbeState]
  private var next = 0
  private var pacing = Pacing()
  private(set) var refusals: [String] = []
  private(set) var roundTrip: UInt64 = 0

  init(_ plan: TracePlan) throws(SystemError) {
    self.plan = plan
    let made = try ProbeSocket.inside(plan.fromNamespace) { () throws(SystemError) -> EchoSocket in
      try EchoSocket(plan)
    }
    let source = made.source
    socket = made.take()
    states = (0..<plan.count).map {
      ProbeState(.nonce(plan.nonce($0)), source: Endpoint(source), destination: Endpoint(plan.destination))
    }
  }

  /// A raw socket bound to the address that the kernel's routes choose for the destination.
  private struct EchoSocket: ~Copyable {
    let file: FileDescriptor
    let source: IPAddress

    init(_ plan: TracePlan) throws(SystemError) {
      let family = plan.destination.family
      let source: IPAddress
      if let given = plan.source { source = given } else { source = try Self.chosenSource(plan.destination) }
      let file = try ProbeSocket.make(family, SOCK_RAW, family == .ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)
      try ProbeSocket.bind(file.rawValue, source, 0)
      self.source = source
      self.file = file
    }

    private static func chosenSource(_ destination: IPAddress) throws(SystemError) -> IPAddress {
      let scout = try ProbeSocket.make(destination.family, SOCK_DGRAM)
      try ProbeSocket.connect(scout.rawValue, destination, 9)  // sends nothing; any port will do
      return try ProbeSocket.name(scout.rawValue).address
    }

    consuming func take() -> FileDescriptor { file }
  }

  var descriptors: [pollfd] { [pollfd(fd: socket.rawValue, events: Int16(POLLIN), revents: 0)] }
  var isFinished: Bool { next == states.count && states.allSatisfy(\.done) }
  var probes: [FlowProbe] { states.map(\.probe) }
  var lastStart: UInt64? { states.lastStart(next) }

  func step(_ now: UInt64) {
    while let message = try? ProbeSocket.receive(socket.rawValue) { take(message, now) }
    for _ in 0..<pacing.allowance(states, started: next, now) {
      send(next, now)
      next += 1
    }
  }

  private func send(_ index: Int, _ now: UInt64) {
    let isIPv4 = plan.destination.family == .ipv4
    let identifier = UInt16(plan.key[10]) << 8 | UInt16(plan.key[11])
    var message: [UInt8] = [isIPv4 ? 8 : 128, 0, 0, 0]
    let number = UInt16(truncatingIfNeeded: index + 1)
    for word in [identifier, number] { message += [UInt8(word >> 8), UInt8(word & 255)] }
    message += plan.nonce(index)
    if isIPv4 {  // ICMPv6's is the kernel's work (RFC 3542 section 3.1)
      let sum = internetChecksum(message)
      message[2] = UInt8(sum >> 8)
      message[3] = UInt8(sum & 255)
    }
    states[index].sentAt = now
    do {
      try ProbeSocket.send(socket.rawValue, message, to: plan.destination, 0)
      states[index].probe.sent = true
    } catch {
      states[index].done = true
      states[index].probe.refusal = .init(error)
      refusals.append("\(plan.from): \(error.text)")
    }
  }

  /// An echo reply with one of our nonces, or an error that quotes one. Requests looped back are neither.
  private func take(_ message: [UInt8], _ now: UInt64) {
    let isIPv4 = plan.destination.family == .ipv4
    let start = isIPv4 ? Int((message.first ?? 0) & 0xF) * 4 : 0  // raw IPv4 sockets see the IP header
    guard message.count > start, let place = message.firstIndex(of: plan.key), place + 16 <= message.count else {
      return
    }
    let index = message[place + 12..<place + 16].reduce(0) { $0 << 8 | Int($1) }
    guard states.indices.contains(index), !states[index].done else { return }
    let type = message[start]
    if type == (isIPv4 ? 0 : 129) {
      roundTrip = max(roundTrip, states[index].answer(now))
    } else if isIPv4 ? type == 3 || type == 11 || type == 12 : type < 128 {
      states[index].done = true
    }
  }
}

/// RFC 1071, over whole bytes in network order.
func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
  var sum: UInt32 = 0
  for index in stride(from: 0, to: bytes.count, by: 2) {
    sum += UInt32(bytes[index]) << 8 | UInt32(index + 1 < bytes.count ? bytes[index + 1] : 0)
  }
  while sum >> 16 != 0 { sum = sum & 0xFFFF + sum >> 16 }
  return ~UInt16(truncatingIfNeeded: sum)
}

extension [UInt8] {
  /// Where the other bytes begin in these.
  func firstIndex(of other: [UInt8]) -> Int? {
    guard other.count <= count else { return nil }
    return (0...count - other.count).first { self[$0..<$0 + other.count].elementsEqual(other) }
  }
}
