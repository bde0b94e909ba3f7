// Delay and jitter where the kernel has no netem: a process between the two ends of a link.
//
//   node A                namespace of the relay              node B
//   eth1 ══ veth ══ far end ─► PacketPort ─► DelayQueue ─► PacketPort ─► far end ══ veth ══ eth1
//                           ◄──────────── and the other way ◄──────────
//
// A packet is due its delay after the kernel received it (not after this process read it), so a process that gets the
// processor late makes only those packets late that were due meanwhile; how late each went out is counted. One thread,
// one epoll, one timerfd for the packet that is due first: with no packets under way it sleeps. A timerfd because the
// time-out of epoll is rounded up by a thousandth of itself.
//
// What passes is what passes on a veth pair: any Ethernet frame, aggregated packets whole, checksums as they are, VLAN
// tags. Exceptions: aggregated packets of tunnels lose what says that they are tunnelled, and BIG TCP is larger than a
// relay holds. Carrier is netloom-machine's business: it sets the far ends up and down as the ends of the nodes are.
// Deliberately absent: loss and rate (nftables and tc on the nodes' own ends), reordering.
import Glibc
internal import CLinux
internal import EventLoop

final class PacketRelay {
  /// Bytes that may wait in one direction: 100 ms at 1.3 Gbit/s. More is dropped.
  static let defaultLimit = 16 << 20

  let loop: EventLoop
  private(set) var directions: [Direction] = []
  private var byLink: [UInt32: (aToB: Direction, bToA: Direction)] = [:]
  private let received = ReceiveBatch()
  private let sending = SendBatch()
  private let timer: FileDescriptor
  private var armedFor: UInt64 = .max
  private var trimming: LoopTimer?

  init(_ loop: EventLoop) throws(SystemError) {
    self.loop = loop
    timer = FileDescriptor(
      owning: try systemCall("timerfd_create") {
        timerfd_create(CLOCK_MONOTONIC, Int32(TFD_NONBLOCK | TFD_CLOEXEC))
      })
    try loop.register(timer.rawValue, .read) { [unowned self] _ in timerFired() }
  }

  // MARK: Links

  /// Opens both ends, in the calling thread's namespace.
  func add(_ link: RelayedLink, limit: Int = defaultLimit) throws(SystemError) {
    let (a, b) = (try PacketPort(link.a), try PacketPort(link.b))
    let aToB = try Direction("\(link.nameOfA) > \(link.nameOfB)", from: a, to: b, link.aToB, limit: limit)
    let bToA = try Direction("\(link.nameOfB) > \(link.nameOfA)", from: b, to: a, link.bToA, limit: limit)
    try watch(a, incoming: aToB, outgoing: bToA)
    try watch(b, incoming: bToA, outgoing: aToB)
    directions += [aToB, bToA]
    byLink[link.id] = (aToB, bToA)
  }

  /// - Returns: whether it has that link.
  func set(link: UInt32, aToB: LinkDelay, bToA: LinkDelay) -> Bool {
    guard let pair = byLink[link] else { return false }
    pair.aToB.delay = aToB
    pair.bToA.delay = bToA
    return true
  }

  /// nil: it has no such link.
  func carried(link: UInt32) -> (aToB: CarriedPackets, bToA: CarriedPackets)? {
    byLink[link].map { ($0.aToB.carried, $0.bToA.carried) }
  }

  private func watch(_ port: PacketPort, incoming: Direction, outgoing: Direction) throws(SystemError) {
    try loop.register(port.descriptor, .read) { [unowned self] readiness in
      if readiness.contains(.writable) { unblock(outgoing) }
      // An error is read like a packet: that is what clears it.
      if !readiness.isDisjoint(with: [.readable, .error, .hangup]) { read(incoming) }
      arm()
    }
  }

  // MARK: Packets

  /// Some batches, not all there are: the other links have their turn.
  private func read(_ direction: Direction) {
    for _ in 0..<4 {
      let count = received.receive(from: direction.input)
      switch count {
      case 0...: direction.take(received, count: count, Clocks())
      case -Int(EAGAIN): return
      case -Int(ENETDOWN), -Int(EINTR): break
      default: direction.missed()
      }
      send(direction)
      if count >= 0, count < ReceiveBatch.size { return }
    }
  }

  private func send(_ direction: Direction) {
    guard !direction.isBlocked else { return }
    direction.forward(sending)
    if direction.isBlocked { _ = try? loop.modify(direction.output.descriptor, [.read, .write]) }
    if direction.queue.isSpread, direction.queue.count == 0 { trimSoon() }
  }

  private func unblock(_ direction: Direction) {
    _ = try? loop.modify(direction.output.descriptor, .read)
    direction.isBlocked = false
    send(direction)
  }

  /// A burst has taken memory; it goes back when a second later nothing waits there.
  private func trimSoon() {
    let timer = trimming ?? LoopTimer(loop) { [unowned self] in for direction in directions { direction.trim() } }
    trimming = timer
    if !timer.isArmed { timer.arm(after: 1_000_000_000) }
  }

  // MARK: Time

  private func timerFired() {
    var count: UInt64 = 0
    _ = Glibc.read(timer.rawValue, &count, 8)
    armedFor = .max
    let now = EventLoop.clock()
    for direction in directions {
      if let due = direction.nextDue, due <= now { send(direction) }
    }
    arm()
  }

  /// For the packet that is due first. A timer that is set too early is left: it costs one look.
  private func arm() {
    var first = UInt64.max
    for direction in directions {
      if let due = direction.nextDue { first = min(first, due) }
    }
    guard first < armedFor else { return }
    armedFor = first
    // A time of zero would stop the timer.
    let nanoseconds = max(first, 1)
    var setting = itimerspec()
    setting.it_value = timespec(
      tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    timerfd_settime(timer.rawValue, Int32(TFD_TIMER_ABSTIME), &setting, nil)
  }

  // MARK: Statistics

  /// One line for each direction.
  var statistics: [String] { directions.map(\.summary) }
}

extension Direction {
  var carried: CarriedPackets {
    CarriedPackets(
      packets: counters.packets,
      dropped: counters.full + counters.refused + counters.malformed + UInt64(input.unread()),
      lateMedian: lateness.quantile(0.5), lateP99: lateness.quantile(0.99), latest: lateness.largest)
  }

  /// For the log.
  var summary: String {
    let late = [lateness.quantile(0.5), lateness.quantile(0.99), lateness.largest].map { "\($0 / 1000)" }
    return "\(name): delay \(delay.microseconds) us, jitter \(delay.jitter) us; "
      + "\(counters.packets) packets, \(counters.bytes) bytes; \(queue.count) packets, \(queue.bytes) bytes wait; "
      + "dropped: \(counters.full) queue full, \(counters.refused) not taken, \(input.unread()) unread, "
      + "\(counters.malformed) malformed; late: median \(late[0]) us, p99 \(late[1]) us, at most \(late[2]) us"
  }
}
