/// A growing row of values that cannot be copied, at stable numbers. Memory only grows.
struct Pool<Element: ~Copyable>: ~Copyable {
  private var base: UnsafeMutablePointer<Element>
  private var capacity: Int
  private(set) var count = 0

  init(capacity: Int = 4) {
    self.capacity = capacity
    base = .allocate(capacity: capacity)
  }

  deinit {
    base.deinitialize(count: count)
    base.deallocate()
  }

  @inline(__always) subscript(index: Int) -> Element {
    unsafeAddress { UnsafePointer(entry(index)) }
    unsafeMutableAddress { entry(index) }
  }

  @inline(__always) func entry(_ index: Int) -> UnsafeMutablePointer<Element> {
    precondition(index >= 0 && index < count, "no such entry")
    return base + index
  }

  mutating func append(_ element: consuming Element) {
    if count == capacity {
      let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
      larger.moveInitialize(from: base, count: count)
      base.deallocate()
      base = larger
      capacity *= 2
    }
    (base + count).initialize(to: element)
    count += 1
  }
}
