import BGPWire

/// Paths: what one peer says with one attribute set, after import. Import policy, loop checks and the numbers that the
/// decision process compares are worked out once per path, not once per prefix; a route is a prefix and a path id.
///
/// Where an import policy looks at the prefix, prefixes for which the same statements match fall into one class, and a
/// path is made per class.
struct PathTable: ~Copyable {
  struct Key: Equatable {
    /// As received, in canonical form.
    var received: UInt32
    var peer: UInt16
    /// Of the peer's import side: a change of policy makes new paths.
    var epoch: UInt16
    /// See `PolicyProgram.prefixClass`; with the bit `flowClass` for flow rules.
    var prefixClass: UInt32
  }

  /// A path of flow rules: it has no next hop, so it is never one of prefixes as well.
  static let flowClass: UInt32 = 1 << 31

  struct Record: BitwiseCopyable {
    var received: UInt32
    /// After import policy.
    var attributes: UInt32
    var prefixClass: UInt32
    var references: UInt32
    var weight: UInt32
    var localPref: UInt32
    var med: UInt32
    /// 0: the path is empty, or begins with a set.
    var neighborAS: UInt32
    var nextHop: UInt32
    /// 0: ORIGINATOR_ID is not there.
    var originatorID: UInt32
    var peer: UInt16
    var epoch: UInt16
    var pathLength: UInt16
    var clusterLength: UInt16
    var origin: UInt8
    var source: RouteOrigin
    var learned: LearnedFrom
    var fault: PathFault

    @inline(__always) var isFlow: Bool { prefixClass & PathTable.flowClass != 0 }
  }

  private(set) var records = Slab<Record>()
  private var index = HashIndex()
  private var free = Slab<UInt32>()
  private let seed: UInt64

  init(seed: UInt64) {
    self.seed = seed
    records.append(
      Record(
        received: 0, attributes: 0, prefixClass: 0, references: 1, weight: 0, localPref: 0, med: 0, neighborAS: 0,
        nextHop: 0, originatorID: 0, peer: 0, epoch: 0, pathLength: 0, clusterLength: 0, origin: 0, source: .local,
        learned: .own, fault: .rejected))
  }

  var bound: Int { records.count }
  var count: Int { index.count }

  @inline(__always) subscript(id: UInt32) -> Record {
    unsafeAddress { UnsafePointer(records.base + checked(id)) }
    unsafeMutableAddress { records.base + checked(id) }
  }

  @inline(__always) private func checked(_ id: UInt32) -> Int {
    precondition(Int(id) < records.count, "no such path")
    return Int(id)
  }

  private func hash(_ key: Key) -> UInt32 {
    Mixing.hash(
      UInt64(key.received) << 32 | UInt64(key.prefixClass), UInt64(key.peer) << 16 | UInt64(key.epoch), seed)
  }

  private func key(_ id: UInt32) -> Key {
    let record = records[id]
    return Key(received: record.received, peer: record.peer, epoch: record.epoch, prefixClass: record.prefixClass)
  }

  /// 0: not there.
  func find(_ key: Key) -> UInt32 { index.find(hash(key)) { self.key($0) == key } }

  /// The new path has no references yet.
  mutating func insert(_ record: Record) -> UInt32 {
    let id: UInt32
    if let reused = free.popLast() {
      id = reused
      records[id] = record
    } else {
      id = UInt32(truncatingIfNeeded: records.count)
      records.append(record)
    }
    index.insert(hash(key(id)), id)
    return id
  }

  @inline(__always) mutating func retain(_ id: UInt32) { records[id].references &+= 1 }

  /// true: that was the last reference; the caller lets go of what the path holds and calls `remove`.
  @inline(__always) mutating func dropReference(_ id: UInt32) -> Bool {
    precondition(records[id].references > 0, "a path was released too often")
    records[id].references &-= 1
    return records[id].references == 0
  }

  mutating func remove(_ id: UInt32) {
    index.remove(hash(key(id)), id)
    free.append(id)
  }
}

/// Which side of a relation a route was learned from; what the relation's export filter asks.
enum LearnedFrom: UInt8, BitwiseCopyable {
  /// Originated by this AS.
  case own
  case customer
  case peer
  case provider
  /// A sibling, an open neighbor, or one without a relation.
  case other
}

/// Why a path takes no part in the decision, next hops apart.
enum PathFault: UInt8, BitwiseCopyable {
  case none
  /// By import policy or the relation's filter.
  case rejected
  case ownAS
  case ownOriginator
  case ownCluster
  case leak
  case badNextHop
  case ownNextHop

  /// For people.
  var text: String? {
    switch self {
    case .none, .rejected: nil
    case .ownAS: "own AS in path"
    case .ownOriginator: "own router id as originator"
    case .ownCluster: "own cluster id in cluster list"
    case .leak: "route leak (OTC)"
    case .badNextHop: "next hop is not a unicast address"
    case .ownNextHop: "next hop is our own address"
    }
  }
}

/// How iBGP carries the side that a route was learned from: one large community of our own AS, written by the border
/// router, read by the others, never shown, and removed from whatever crosses the border of the AS either way (so that
/// no neighbor can forge it). A route without it is own if its AS path is empty, and `other` otherwise.
enum RelationTag {
  /// Second number of the community; the third is the `LearnedFrom`.
  static let function: UInt32 = 4_294_939_188

  static func isTag(_ community: LargeCommunity, of asn: UInt32) -> Bool {
    community.global == asn && community.data1 == function
  }
}
