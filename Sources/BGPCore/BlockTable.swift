import Glibc

/// Interned byte strings with reference counts: equal bytes have equal ids, so that attribute sets are compared, kept
/// and passed around as one number. Id 0 is none. A block without references is freed by the last `release`.
struct BlockTable: ~Copyable {
  private struct Block: BitwiseCopyable {
    var bytes: UnsafeMutableRawPointer?
    var count: UInt32
    var hash: UInt32
    var references: UInt32
  }

  private var blocks = Slab<Block>()
  private var index = HashIndex()
  private var free = Slab<UInt32>()
  private let seed: UInt64

  init(seed: UInt64) {
    self.seed = seed
    blocks.append(Block(bytes: nil, count: 0, hash: 0, references: 1))
  }

  deinit {
    for id in 0..<UInt32(truncatingIfNeeded: blocks.count) { blocks[id].bytes?.deallocate() }
  }

  /// Ids are below this.
  var bound: Int { blocks.count }
  /// Blocks in use.
  var count: Int { index.count }

  func hash(_ bytes: UnsafeRawBufferPointer) -> UInt32 { Mixing.hash(bytes, seed) }

  /// 0: not there.
  func find(_ bytes: UnsafeRawBufferPointer, hash: UInt32) -> UInt32 {
    index.find(hash) { id in
      let block = blocks[id]
      guard Int(block.count) == bytes.count, let mine = block.bytes, let theirs = bytes.baseAddress else {
        return bytes.isEmpty && block.count == 0
      }
      return memcmp(mine, theirs, bytes.count) == 0
    }
  }

  /// Copies the bytes; the new block has no references yet.
  mutating func insert(_ bytes: UnsafeRawBufferPointer, hash: UInt32) -> UInt32 {
    let copy = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 1)
    if let source = bytes.baseAddress { copy.copyMemory(from: source, byteCount: bytes.count) }
    let block = Block(bytes: copy, count: UInt32(truncatingIfNeeded: bytes.count), hash: hash, references: 0)
    let id: UInt32
    if let reused = free.popLast() {
      id = reused
      blocks[id] = block
    } else {
      id = UInt32(truncatingIfNeeded: blocks.count)
      blocks.append(block)
    }
    index.insert(hash, id)
    return id
  }

  /// The id of these bytes, new or known. Nothing is retained.
  mutating func intern(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    let hash = hash(bytes)
    let found = find(bytes, hash: hash)
    return found != 0 ? found : insert(bytes, hash: hash)
  }

  /// Valid until the block is freed.
  @inline(__always) func bytes(_ id: UInt32) -> UnsafeRawBufferPointer {
    let block = blocks[id]
    return UnsafeRawBufferPointer(start: block.bytes, count: Int(block.count))
  }

  @inline(__always) mutating func retain(_ id: UInt32) { blocks[id].references &+= 1 }

  @inline(__always) mutating func release(_ id: UInt32) {
    guard id != 0 else { return }
    precondition(blocks[id].references > 0, "a block was released too often")
    blocks[id].references &-= 1
    if blocks[id].references == 0 { remove(id) }
  }

  /// Frees a block that was interned and then not used.
  mutating func discardUnused(_ id: UInt32) {
    if id != 0, blocks[id].references == 0, blocks[id].bytes != nil { remove(id) }
  }

  private mutating func remove(_ id: UInt32) {
    let block = blocks[id]
    index.remove(block.hash, id)
    block.bytes?.deallocate()
    blocks[id].bytes = nil
    blocks[id].count = 0
    free.append(id)
  }
}
