import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof
import Synchronization

/// One end of a rate run, on a thread of its own from `run` until the flag is raised or its work is done.
protocol RateEnd: AnyObject, Sendable {
  func run(_ stop: StopFlag)
}

/// What the sending program knows.
struct SenderAccount: Sendable {
  /// TCP: the handshake finished. UDP: a datagram left.
  var started = false
  var finished = false
  /// What the kernel refused, in words.
  var refusal: String?
  /// Datagrams; segments of a stream.
  var packets: UInt64 = 0
  var sent: [PassedUnits] = []
  var payload = 0
  /// Of a stream, at its end.
  var counters: StreamCounters?
}

/// What the receiving program got.
struct ReceiverAccount: Sendable {
  var bytes: UInt64 = 0
  var packets: UInt64 = 0
  /// CLOCK_REALTIME, ns.
  var first: UInt64 = 0
  var last: UInt64 = 0
  /// Bytes in each interval since the first.
  var intervals: [UInt64] = []
  var received: [PassedUnits] = []
  var finished = false

  static let interval: UInt64 = 100_000_000

  mutating func take(_ count: Int, _ time: UInt64) {
    if bytes == 0 { first = time }
    last = max(time, first)
    bytes += UInt64(count)
    let index = Int((last - first) / Self.interval)
    while intervals.count <= index { intervals.append(0) }
    intervals[index] += UInt64(count)
  }
}

/// Of a TCP connection (TCP_INFO, linux/tcp.h; libc's structure ends before most of them).
struct StreamCounters: Sendable {
  var retransmits: UInt64
  var segmentsIn: UInt64
  var segmentsOut: UInt64
  /// Payload with what was sent again.
  var bytesSent: UInt64
  /// Segments that the receiver said it had twice (RFC 2883).
  var duplicates: UInt64
  var segmentSize: UInt64

  private enum Field {
    static let segmentSize = 16
    static let totalRetransmits = 100
    static let dataSegmentsIn = 152
    static let dataSegmentsOut = 156
    static let bytesSent = 200
    static let duplicates = 216
    static let end = 220
  }

  /// Nil where the kernel is older than these counters (4.19).
  init?(_ socket: Int32) {
    var bytes = [UInt8](repeating: 0, count: 256)
    var length = socklen_t(bytes.count)
    guard getsockopt(socket, Int32(IPPROTO_TCP), TCP_INFO, &bytes, &length) == 0, length >= Field.end else {
      return nil
    }
    let word = { (offset: Int) in
      UInt64(bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) })
    }
    segmentSize = word(Field.segmentSize)
    retransmits = word(Field.totalRetransmits)
    segmentsIn = word(Field.dataSegmentsIn)
    segmentsOut = word(Field.dataSegmentsOut)
    bytesSent = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: Field.bytesSent, as: UInt64.self) }
    duplicates = word(Field.duplicates)
  }
}

/// What the ends of a run keep of single packets, so that a long or fast one does not fill the memory.
enum RateLimits {
  /// Records of each place.
  static let records = 1_000_000
  /// How far a stream is followed, bytes.
  static let stream: UInt32 = 1 << 29
}

/// Waits for a socket, for a moment.
func isReady(_ socket: Int32, _ events: Int32, milliseconds: Int32 = 10) -> Bool {
  var entry = pollfd(fd: socket, events: Int16(events), revents: 0)
  return poll(&entry, 1, milliseconds) > 0
}
