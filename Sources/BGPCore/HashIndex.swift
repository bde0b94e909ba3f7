/// An open-addressing index from 32-bit hashes to 32-bit ids: linear probing, deletion by shifting back. Who owns the
/// things with those ids compares them.
struct HashIndex: ~Copyable {
  /// Hash in the upper half, id in the lower; 0: free. Ids are never 0.
  private var slots: UnsafeMutablePointer<UInt64>
  private var mask: Int
  private(set) var count = 0

  init(capacity: Int = 16) {
    mask = capacity - 1
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: 0, count: capacity)
  }

  deinit { slots.deallocate() }

  /// The id under `hash` that `matches`; 0: none.
  @inline(__always) func find(_ hash: UInt32, _ matches: (UInt32) -> Bool) -> UInt32 {
    var position = Int(hash) & mask
    while true {
      let slot = slots[position]
      if slot == 0 { return 0 }
      if UInt32(truncatingIfNeeded: slot >> 32) == hash {
        let id = UInt32(truncatingIfNeeded: slot)
        if matches(id) { return id }
      }
      position = (position &+ 1) & mask
    }
  }

  @inline(__always) mutating func insert(_ hash: UInt32, _ id: UInt32) {
    if count &* 5 >= (mask &+ 1) &* 4 { grow() }
    place(UInt64(hash) << 32 | UInt64(id))
    count += 1
  }

  @inline(__always) private func place(_ slot: UInt64) {
    var position = Int(slot >> 32) & mask
    while slots[position] != 0 { position = (position &+ 1) & mask }
    slots[position] = slot
  }

  mutating func remove(_ hash: UInt32, _ id: UInt32) {
    let wanted = UInt64(hash) << 32 | UInt64(id)
    var hole = Int(hash) & mask
    while slots[hole] != wanted {
      guard slots[hole] != 0 else { return }
      hole = (hole &+ 1) & mask
    }
    var next = (hole &+ 1) & mask
    while slots[next] != 0 {
      // An entry may move into the hole when its home is not between the hole and itself.
      let home = Int(slots[next] >> 32) & mask
      if (next &- home) & mask >= (next &- hole) & mask {
        slots[hole] = slots[next]
        hole = next
      }
      next = (next &+ 1) & mask
    }
    slots[hole] = 0
    count -= 1
  }

  private mutating func grow() {
    let old = slots
    let oldCount = mask + 1
    mask = oldCount * 2 - 1
    slots = .allocate(capacity: mask + 1)
    slots.initialize(repeating: 0, count: mask + 1)
    for position in 0..<oldCount where old[position] != 0 { place(old[position]) }
    old.deallocate()
  }
}

/// Keyed mixing by 64-bit multiplication, for tables whose keys a neighbor chooses.
enum Mixing {
  @inline(__always) static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  @inline(__always) static func hash(_ a: UInt64, _ b: UInt64, _ seed: UInt64) -> UInt32 {
    let mixed = mix(a ^ seed, b ^ 0xE703_7ED1_A0B4_28DB)
    return UInt32(truncatingIfNeeded: mix(mixed, seed ^ 0x8EBC_6AF0_9C88_C6E3) >> 16)
  }

  static func hash(_ bytes: UnsafeRawBufferPointer, _ seed: UInt64) -> UInt32 {
    var state = seed ^ UInt64(truncatingIfNeeded: bytes.count) &* 0xA076_1D64_78BD_642F
    var offset = 0
    while offset + 16 <= bytes.count {
      let a = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      let b = bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
      state = mix(a ^ state, b ^ 0xE703_7ED1_A0B4_28DB)
      offset += 16
    }
    var a: UInt64 = 0
    var b: UInt64 = 0
    if offset + 8 <= bytes.count {
      a = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      offset += 8
    }
    while offset < bytes.count {
      b = b << 8 | UInt64(bytes[offset])
      offset += 1
    }
    state = mix(a ^ state, b ^ 0x8EBC_6AF0_9C88_C6E3)
    return UInt32(truncatingIfNeeded: mix(state, seed ^ 0x5899_65CC_7537_4CC3) >> 16)
  }
}
