/// What a session keeps of an open stream.
final class HTTP2Stream {
  /// How far the sending side has come.
  enum Sending {
    /// No head yet.
    case idle
    /// The head is out; pieces of the body may follow.
    case open
    /// What is queued is the last.
    case ended
  }

  var sending = Sending.idle
  var queue = ByteQueue()
  /// Fields that end the stream after what is queued.
  var trailers: FieldList?
  /// nghttp2 has been told that there is nothing to send, and must be told when there is.
  var isDeferred = false
  /// The queue was above the low-water mark since the last `drained`.
  var owesDrained = false
  /// Bytes that were delivered and not yet consumed.
  var unconsumed = 0
  /// We have cancelled it: nothing is delivered any more but its end.
  var isReset = false
  /// It is to be cancelled as soon as all that we send on it has left.
  var isResetAfterEnd = false
  /// The user knows it, so its end is an event.
  var isAnnounced: Bool

  /// Fields of the head or the trailers that is arriving.
  var fields = FieldList()
  var fieldBytes = 0

  init(isAnnounced: Bool) { self.isAnnounced = isAnnounced }
}

/// Bytes that wait, first in, first out.
struct ByteQueue {
  private var bytes: [UInt8] = []
  private var start = 0

  var count: Int { bytes.count - start }

  mutating func append(_ more: UnsafeRawBufferPointer) { bytes.append(contentsOf: more) }

  /// Moves the first bytes, `count` at most, to the end of an array.
  mutating func move(_ count: Int, to output: inout [UInt8]) {
    let end = start + min(count, self.count)
    output.append(contentsOf: bytes[start..<end])
    start = end
    if start == bytes.count {
      bytes.removeAll(keepingCapacity: bytes.capacity <= Self.keptCapacity)
      start = 0
    } else if start >= Self.keptCapacity, start * 2 >= bytes.count {
      bytes.removeFirst(start)
      start = 0
    }
  }

  private static let keptCapacity = 65536
}
