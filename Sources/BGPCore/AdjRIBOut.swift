import BGPWire

/// What one peer was told, and is still to be told, of one family: one 32-bit word a prefix.
///
/// A change is written into the prefix's word and, once, into a queue; later changes of a waiting prefix only change the
/// word, so that a burst of input costs one announcement. When messages are asked for, the queue is dealt into one chain
/// per outgoing attribute set, and the chains are emptied one after the other: a set's prefixes share UPDATEs whatever
/// order they came in.
struct AdjRIBOut: ~Copyable {
  /// Outgoing set (0: withdrawn) in the low 30 bits.
  struct State: BitwiseCopyable {
    var word: UInt32
    static let advertisedBit: UInt32 = 1 << 31
    static let waitingBit: UInt32 = 1 << 30

    @inline(__always) var wanted: UInt32 { word & ~(Self.advertisedBit | Self.waitingBit) }
    /// The peer holds something of us for this prefix.
    @inline(__always) var isAdvertised: Bool { word & Self.advertisedBit != 0 }
    @inline(__always) var isWaiting: Bool { word & Self.waitingBit != 0 }
  }

  /// By prefix id.
  var states = Slab<State>()
  /// Prefixes that wait and are in no chain.
  private var queue = Slab<UInt32>()
  /// By prefix id: the next one of its chain.
  private var links = Slab<UInt32>()
  /// By outgoing set: the first prefix of its chain.
  private var heads = Slab<UInt32>()
  /// Sets with chains, in the order in which they are emptied.
  private var chains = Slab<UInt32>()
  private var chainCursor: UInt32 = 0

  /// Nothing waits.
  var isDrained: Bool { queue.isEmpty && chains.isEmpty }

  @inline(__always) mutating func enqueue(_ prefix: UInt32) { queue.append(prefix) }

  @inline(__always) func state(_ prefix: UInt32) -> State {
    Int(prefix) < states.count ? states[prefix] : State(word: 0)
  }

  /// The set whose chain is to be emptied next; nil: nothing waits.
  mutating func currentSet(setBound: Int) -> UInt32? {
    while true {
      if Int(chainCursor) < chains.count { return chains[chainCursor] }
      chains.removeAll()
      chainCursor = 0
      if queue.isEmpty {
        releaseMemory()
        return nil
      }
      deal(setBound)
    }
  }

  private mutating func deal(_ setBound: Int) {
    heads.extend(to: setBound, with: 0)
    links.extend(to: states.count, with: 0)
    for position in 0..<queue.count {
      let prefix = queue.base[position]
      let set = states[prefix].wanted
      if heads[set] == 0 { chains.append(set) }
      links[prefix] = heads[set]
      heads[set] = prefix
    }
    queue.removeAll()
  }

  /// The next prefix of the chain; 0: it is empty, and done with.
  @inline(__always) mutating func takeFirst(of set: UInt32) -> UInt32 {
    let prefix = heads[set]
    if prefix == 0 {
      chainCursor &+= 1
    } else {
      heads[set] = links[prefix]
    }
    return prefix
  }

  /// Undoes `takeFirst`: the prefix did not fit any more.
  @inline(__always) mutating func putBack(_ prefix: UInt32, to set: UInt32) {
    links[prefix] = heads[set]
    heads[set] = prefix
  }

  /// Large work lists are given back once they are empty; a full table needs megabytes of them for a moment.
  private mutating func releaseMemory() {
    guard links.count > 65536 else { return }
    queue.discard()
    links.discard()
    heads.discard()
    chains.discard()
  }

  /// Forgets everything at once.
  mutating func removeAll() {
    states.discard()
    queue.discard()
    links.discard()
    heads.discard()
    chains.discard()
    chainCursor = 0
  }
}
