import Glibc
internal import EventLoop

/// What has happened to the packets of a direction.
struct DirectionCounters: Equatable {
  /// Sent on, and their bytes with Ethernet's header.
  var packets: UInt64 = 0
  var bytes: UInt64 = 0
  /// The queue had no room.
  var full: UInt64 = 0
  /// The receiving side did not take them: it was down, its backlog full, its MTU too small.
  var refused: UInt64 = 0
  /// No Ethernet, or larger than a relay can hold.
  var malformed: UInt64 = 0
}

/// One way through a link: port, queue, port.
final class Direction {
  let name: String
  let input: PacketPort
  let output: PacketPort
  private(set) var queue: DelayQueue
  private var model: DelayModel
  private(set) var counters = DirectionCounters()
  private(set) var lateness = Lateness()
  /// The output's socket holds as much as it may; the loop says when it takes more.
  var isBlocked = false

  init(
    _ name: String, from input: PacketPort, to output: PacketPort, _ delay: LinkDelay, limit: Int
  ) throws(SystemError) {
    self.name = name
    self.input = input
    self.output = output
    queue = try DelayQueue(capacity: limit)
    model = DelayModel(delay, seed: EventLoop.clock() ^ UInt64(input.index) << 32)
  }

  /// From the next packet on; those under way keep their time.
  var delay: LinkDelay {
    get { model.delay }
    set { model.delay = newValue }
  }

  /// When there is something to do; nil: nothing waits, or it waits for the output.
  var nextDue: UInt64? { isBlocked ? nil : queue.firstDue }

  // MARK: In

  /// Queues the frames that were just read.
  /// - Parameter clocks: what both clocks show now.
  func take(_ batch: ReceiveBatch, count: Int, _ clocks: Clocks) {
    for place in 0..<count {
      let frame = batch.frame(place)
      guard frame.isWhole else {
        counters.malformed += 1
        continue
      }
      let due = model.due(arrival: clocks.monotonic(frame.stamp))
      if !queue.append(due: due, length: frame.length, frame.write) { counters.full += 1 }
    }
  }

  /// The kernel could not hand a packet over; one that no struct virtio_net_hdr can describe.
  func missed() { counters.malformed += 1 }

  // MARK: Out

  /// Sends what is due.
  func forward(_ batch: SendBatch) {
    while !isBlocked, collect(batch, dueAt: EventLoop.clock()) {
      let sent = batch.send(to: output)
      switch sent {
      case 1...: account(sent)
      case -Int(EAGAIN): isBlocked = true
      case -Int(EINTR): continue
      default:
        counters.refused += 1
        queue.removeFirst()
      }
    }
  }

  private func collect(_ batch: SendBatch, dueAt now: UInt64) -> Bool {
    batch.removeAll()
    var cursor = queue.start
    while !batch.isFull, let record = queue.next(&cursor), record.due <= now { batch.append(record.frame) }
    return batch.count > 0
  }

  private func account(_ sent: Int) {
    let now = EventLoop.clock()
    var cursor = queue.start
    for _ in 0..<sent {
      guard let record = queue.next(&cursor) else { break }
      lateness.record(now - min(now, record.due))
      counters.bytes += UInt64(record.frame.count - ReceivedFrame.vnetHeader)
    }
    counters.packets += UInt64(sent)
    queue.removeFirst(sent)
  }

  func trim() { queue.trim() }
}

/// Packets are stamped by one clock and timers run by another.
struct Clocks {
  let now: UInt64
  private let real: UInt64

  init() {
    now = EventLoop.clock()
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    real = UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }

  init(now: UInt64, real: UInt64) {
    self.now = now
    self.real = real
  }

  /// When a packet arrived. A stamp of the future, or of more than a second ago, is no stamp but a clock that was set.
  func monotonic(_ stamp: UInt64?) -> UInt64 {
    guard let stamp, stamp <= real, real - stamp < 1_000_000_000 else { return now }
    return now - min(now, real - stamp)
  }
}
