internal import CLinux
internal import EventLoop
import Glibc

/// Frames of one direction that wait for their time, oldest first: a ring of bytes of fixed size, so that memory is
/// bounded whatever arrives. A frame that finds no room is refused, as by any full queue.
///
/// A record is 16 bytes (when it is due, how long it is) and the frame, padded to 16; it never wraps. Where one would,
/// a mark says that the next begins at the start. The pages are the kernel's to give: a ring that is emptied begins
/// again at its start, so that light traffic stays on the first pages, and `trim` gives the others back.
struct DelayQueue: ~Copyable {
  /// One frame that waits.
  struct Record {
    let due: UInt64
    let frame: UnsafeMutableRawBufferPointer
    /// Where the one after it begins.
    fileprivate let next: Int
  }

  /// Where the next record to be looked at begins; good until one is removed.
  struct Cursor {
    fileprivate var place: Int
    fileprivate var left: Int
  }

  private let base: UnsafeMutableRawPointer
  let capacity: Int
  private var head = 0
  private var tail = 0
  private var highWater = 0
  private(set) var count = 0
  /// Of the frames alone.
  private(set) var bytes = 0

  private static let header = 16
  private static let wrapped = UInt32.max

  /// - Parameter capacity: bytes, rounded up to a page.
  init(capacity: Int) throws(SystemError) {
    let size = (max(capacity, 1) + 4095) & ~4095
    // MAP_NORESERVE: what is never used is never taken from anybody.
    let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else { throw SystemError.last("mmap", "\(size) bytes") }
    base = memory
    self.capacity = size
  }

  deinit { munmap(base, capacity) }

  /// Puts a frame behind all others. The closure writes its bytes.
  /// - Returns: whether there was room.
  mutating func append(due: UInt64, length: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> Bool {
    let stride = Self.header + ((length + 15) & ~15)
    guard let place = room(for: stride) else { return false }
    let record = base + place
    record.storeBytes(of: due, as: UInt64.self)
    record.storeBytes(of: UInt32(length), toByteOffset: 8, as: UInt32.self)
    fill(UnsafeMutableRawBufferPointer(start: record + Self.header, count: length))
    tail = place + stride
    highWater = max(highWater, tail)
    count += 1
    bytes += length
    return true
  }

  /// Where a record of that size may begin; nil: nowhere. Head and tail meet only when nothing waits.
  private mutating func room(for stride: Int) -> Int? {
    if count == 0 { (head, tail) = (0, 0) }
    if tail < head { return head - tail > stride ? tail : nil }
    if capacity - tail >= stride { return tail }
    guard head > stride else { return nil }
    if tail < capacity { (base + tail).storeBytes(of: Self.wrapped, toByteOffset: 8, as: UInt32.self) }
    return 0
  }

  /// At the frame that is due first.
  var start: Cursor { Cursor(place: head, left: count) }

  /// The next frame; nil after the last.
  func next(_ cursor: inout Cursor) -> Record? {
    guard cursor.left > 0 else { return nil }
    if cursor.place == capacity || length(at: cursor.place) == Self.wrapped { cursor.place = 0 }
    let record = base + cursor.place
    let length = Int(length(at: cursor.place))
    let next = cursor.place + Self.header + ((length + 15) & ~15)
    cursor.place = next
    cursor.left -= 1
    return Record(
      due: record.load(as: UInt64.self),
      frame: UnsafeMutableRawBufferPointer(start: record + Self.header, count: length), next: next)
  }

  private func length(at place: Int) -> UInt32 { (base + place).load(fromByteOffset: 8, as: UInt32.self) }

  /// When the first is due; nil: nothing waits.
  var firstDue: UInt64? {
    var cursor = start
    return next(&cursor)?.due
  }

  /// Takes the first ones away.
  mutating func removeFirst(_ number: Int = 1) {
    var cursor = start
    for _ in 0..<number {
      guard let record = next(&cursor) else { break }
      head = record.next
      count -= 1
      bytes -= record.frame.count
    }
  }

  /// It has once reached beyond its first mebibyte.
  var isSpread: Bool { highWater > 1 << 20 }

  /// Gives pages back that nothing waits on.
  mutating func trim() {
    guard count == 0, isSpread else { return }
    _ = madvise(base, capacity, MADV_DONTNEED)
    (head, tail, highWater) = (0, 0, 0)
  }
}
