import Glibc

/// A growing array of plain bits in memory of its own: no reference counting, no copies on write, 32-bit indexes.
/// Growth goes through realloc, which moves large blocks by page tables, so a table that grows is not twice in memory.
struct Slab<Element: BitwiseCopyable>: ~Copyable {
  private(set) var base: UnsafeMutablePointer<Element>
  private(set) var count = 0
  private var capacity: Int

  init(capacity: Int = 0) {
    self.capacity = max(capacity, 4)
    base = Self.resized(nil, self.capacity)
  }

  deinit { free(base) }

  private static func resized(_ base: UnsafeMutablePointer<Element>?, _ capacity: Int) -> UnsafeMutablePointer<Element>
  {
    guard let memory = realloc(base, capacity * MemoryLayout<Element>.stride) else {
      preconditionFailure("out of memory for routes")
    }
    return memory.assumingMemoryBound(to: Element.self)
  }

  @inline(__always) subscript(index: UInt32) -> Element {
    unsafeAddress {
      precondition(Int(index) < count, "index of a table is out of its range")
      return UnsafePointer(base + Int(index))
    }
    unsafeMutableAddress {
      precondition(Int(index) < count, "index of a table is out of its range")
      return base + Int(index)
    }
  }

  var isEmpty: Bool { count == 0 }

  @inline(__always) mutating func append(_ element: Element) {
    if count == capacity { reserve(count + 1) }
    (base + count).initialize(to: element)
    count += 1
  }

  /// Makes room for more elements; the count does not change.
  mutating func reserve(_ wanted: Int) {
    guard wanted > capacity else { return }
    capacity = max(wanted, capacity * 2)
    base = Self.resized(base, capacity)
  }

  /// Grows to `wanted` elements, new ones being `element`; never shrinks.
  @inline(__always) mutating func extend(to wanted: Int, with element: Element) {
    if wanted > count { grow(to: wanted, with: element) }
  }

  private mutating func grow(to wanted: Int, with element: Element) {
    reserve(wanted)
    (base + count).initialize(repeating: element, count: wanted - count)
    count = wanted
  }

  @inline(__always) mutating func popLast() -> Element? {
    guard count > 0 else { return nil }
    count -= 1
    return base[count]
  }

  /// Keeps the memory.
  mutating func removeAll() { count = 0 }

  /// Gives the memory back.
  mutating func discard() {
    count = 0
    capacity = 4
    base = Self.resized(base, capacity)
  }
}

/// First in, first out, in one slab: taken entries are reused when the queue runs empty.
struct IndexQueue: ~Copyable {
  private var slab = Slab<UInt32>()
  private var head = 0

  var isEmpty: Bool { head == slab.count }
  var count: Int { slab.count - head }

  @inline(__always) mutating func append(_ index: UInt32) { slab.append(index) }

  @inline(__always) mutating func popFirst() -> UInt32? {
    guard head < slab.count else { return nil }
    let index = slab.base[head]
    head += 1
    if head == slab.count { reset() }
    return index
  }

  private mutating func reset() {
    head = 0
    if slab.count > 65536 { slab.discard() } else { slab.removeAll() }
  }
}
