/// Bytes on their way out: appended at the end, taken from the front. Owns its memory and never shares it.
///
/// Messages are written straight into `appendingRoom` and committed, so a message is copied nowhere before the
/// kernel takes it. Consumed space is reused once the buffer is empty, or when it makes up half of the bytes.
public struct OutputBuffer: ~Copyable {
  private var base: UnsafeMutableRawPointer
  private var capacity: Int
  private var start = 0
  private var end = 0

  public init(capacity: Int = 16384) {
    self.capacity = max(capacity, 64)
    base = .allocate(byteCount: self.capacity, alignment: 16)
  }

  deinit { base.deallocate() }

  /// Bytes not yet taken.
  public var count: Int { end - start }
  public var isEmpty: Bool { end == start }

  /// The bytes not yet taken; the pointer is valid inside the closure only.
  public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try body(UnsafeRawBufferPointer(start: base + start, count: end - start))
  }

  /// Takes bytes from the front, at most as many as there are.
  public mutating func removeFirst(_ count: Int) {
    start += min(max(count, 0), end - start)
    if start == end {
      start = 0
      end = 0
    }
  }

  public mutating func removeAll() {
    start = 0
    end = 0
  }

  public mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress, !bytes.isEmpty else { return }
    appendingRoom(bytes.count).copyMemory(from: source, byteCount: bytes.count)
    commit(bytes.count)
  }

  public mutating func append(contentsOf bytes: [UInt8]) {
    bytes.withUnsafeBytes { append($0) }
  }

  /// Room for `count` bytes behind the last one; valid until the next mutation. `commit` makes them part of the buffer.
  public mutating func appendingRoom(_ count: Int) -> UnsafeMutableRawPointer {
    if end + count > capacity { makeRoom(count) }
    return base + end
  }

  public mutating func commit(_ count: Int) {
    precondition(count >= 0 && end + count <= capacity, "more committed than asked for")
    end += count
  }

  /// Gives memory beyond `capacity` back when the buffer is empty.
  public mutating func shrink(to capacity: Int = 16384) {
    guard isEmpty, self.capacity > capacity else { return }
    base.deallocate()
    self.capacity = max(capacity, 64)
    base = .allocate(byteCount: self.capacity, alignment: 16)
  }

  private mutating func makeRoom(_ count: Int) {
    let live = end - start
    if start >= live, live + count <= capacity {
      base.copyMemory(from: base + start, byteCount: live)
    } else {
      capacity = max(capacity * 2, live + count)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
      larger.copyMemory(from: base + start, byteCount: live)
      base.deallocate()
      base = larger
    }
    start = 0
    end = live
  }
}
