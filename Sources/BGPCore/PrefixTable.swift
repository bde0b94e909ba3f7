import BGPWire

/// The prefixes of one family, each with its candidate routes (Adj-RIB-In of all peers) and its best one.
///
/// A prefix is a 20-byte record found by hash; its routes are eight bytes each, side by side in a shared arena, so that
/// looking for one peer's route among ten touches one or two cache lines. Ids are stable while a prefix is in use and
/// index the per-peer tables of Adj-RIB-Out.
struct PrefixTable: ~Copyable {
  struct Flags: OptionSet, BitwiseCopyable {
    var rawValue: UInt8
    /// Waits for its decision.
    static let dirty = Flags(rawValue: 1)
    /// Waits for `drainFIB`.
    static let fibDirty = Flags(rawValue: 2)
    static let live = Flags(rawValue: 4)
  }

  struct Record: BitwiseCopyable {
    /// IPv4: the address. IPv6: part of the hash; the address stands in `addresses`.
    var key: UInt32
    /// Into the arena.
    var routes: UInt32
    /// Path id; 0: none. Holds a reference on the path.
    var best: UInt32
    var routeCount: UInt16
    /// Adj-RIBs-Out that hold something about this prefix.
    var users: UInt16
    var length: UInt8
    var flags: Flags
    /// Index into `RouteArena.capacities`.
    var capacity: UInt8
  }

  let family: Family
  private(set) var records = Slab<Record>()
  private var addresses = Slab<UInt64>()
  private var index = HashIndex()
  /// The first free record; each holds the next one in `routes`. 0: none.
  private var free: UInt32 = 0
  var arena = RouteArena()
  private let seed: UInt64

  init(_ family: Family, seed: UInt64) {
    self.family = family
    self.seed = seed
    append(PrefixKey(high: 0, low: 0, length: 0), hash: 0)  // id 0 is none
    records[0].flags = []
  }

  /// Ids are below this.
  var bound: UInt32 { UInt32(truncatingIfNeeded: records.count) }
  var count: Int { index.count }

  @inline(__always) subscript(id: UInt32) -> Record {
    unsafeAddress { UnsafePointer(records.base + checked(id)) }
    unsafeMutableAddress { records.base + checked(id) }
  }

  @inline(__always) private func checked(_ id: UInt32) -> Int {
    precondition(Int(id) < records.count, "no such prefix")
    return Int(id)
  }

  func key(_ id: UInt32) -> PrefixKey {
    let record = records[id]
    return family == .ipv4Unicast
      ? PrefixKey(high: UInt64(record.key) << 32, low: 0, length: record.length)
      : PrefixKey(high: addresses[id * 2], low: addresses[id * 2 + 1], length: record.length)
  }

  @inline(__always) private func hash(_ key: PrefixKey) -> UInt32 {
    Mixing.hash(key.high, key.low &+ UInt64(key.length) &* 0x9E37_79B9_7F4A_7C15, seed)
  }

  @inline(__always) private func find(_ key: PrefixKey, _ hash: UInt32) -> UInt32 {
    if family == .ipv4Unicast {
      let address = UInt32(truncatingIfNeeded: key.high >> 32)
      return index.find(hash) { records[$0].key == address && records[$0].length == key.length }
    }
    return index.find(hash) {
      addresses[$0 * 2] == key.high && addresses[$0 * 2 + 1] == key.low && records[$0].length == key.length
    }
  }

  /// 0: not there.
  func find(_ key: PrefixKey) -> UInt32 { find(key, hash(key)) }

  @inline(__always) mutating func findOrInsert(_ key: PrefixKey) -> UInt32 {
    let hash = hash(key)
    let found = find(key, hash)
    return found != 0 ? found : insert(key, hash)
  }

  private mutating func insert(_ key: PrefixKey, _ hash: UInt32) -> UInt32 {
    let id: UInt32
    if free != 0 {
      id = free
      free = records[id].routes
      records[id] = Self.record(key, family, hash)
      if family == .ipv6Unicast {
        addresses[id * 2] = key.high
        addresses[id * 2 + 1] = key.low
      }
    } else {
      id = bound
      append(key, hash: hash)
    }
    index.insert(hash, id)
    return id
  }

  private mutating func append(_ key: PrefixKey, hash: UInt32) {
    records.append(Self.record(key, family, hash))
    if family == .ipv6Unicast {
      addresses.append(key.high)
      addresses.append(key.low)
    }
  }

  private static func record(_ key: PrefixKey, _ family: Family, _ hash: UInt32) -> Record {
    Record(
      key: family == .ipv4Unicast ? UInt32(truncatingIfNeeded: key.high >> 32) : hash, routes: 0, best: 0,
      routeCount: 0, users: 0, length: key.length, flags: .live, capacity: 0)
  }

  /// Frees the prefix if nothing holds it any more.
  @inline(__always) mutating func freeIfUnused(_ id: UInt32) {
    let record = records[id]
    if record.routeCount == 0, record.users == 0, record.best == 0, record.flags == .live { remove(id) }
  }

  private mutating func remove(_ id: UInt32) {
    index.remove(hash(key(id)), id)
    arena.release(records[id].routes, records[id].capacity)
    records[id].flags = []
    records[id].capacity = 0
    records[id].routes = free
    free = id
  }
}

// MARK: - Routes of a prefix

extension PrefixTable {
  /// Position in the arena of the peer's route; nil: it has none.
  @inline(__always) func position(_ id: UInt32, of peer: UInt16) -> UInt32? {
    let start = records[id].routes
    for position in start..<start &+ UInt32(records[id].routeCount) where arena[position].peer == peer {
      return position
    }
    return nil
  }

  @inline(__always) mutating func addRoute(_ id: UInt32, _ entry: RouteEntry) {
    let count = records[id].routeCount
    precondition(count < .max, "a prefix has at most 65535 routes")
    if UInt32(count) == RouteArena.capacities[Int(records[id].capacity)] {
      let (routes, capacity) = arena.grown(records[id].routes, records[id].capacity, count)
      records[id].routes = routes
      records[id].capacity = capacity
    }
    arena[records[id].routes &+ UInt32(count)] = entry
    records[id].routeCount = count &+ 1
  }

  /// The last route takes its place.
  @inline(__always) mutating func removeRoute(_ id: UInt32, at position: UInt32) {
    let last = records[id].routes &+ UInt32(records[id].routeCount) &- 1
    if position != last { arena[position] = arena[last] }
    records[id].routeCount &-= 1
    if records[id].routeCount == 0 {
      arena.release(records[id].routes, records[id].capacity)
      records[id].routes = 0
      records[id].capacity = 0
    }
  }
}

/// One peer's route to one prefix: which path, and whether it is stale.
struct RouteEntry: BitwiseCopyable {
  var path: UInt32
  var peer: UInt16
  var isStale: UInt16

  init(path: UInt32, peer: UInt16) {
    self.path = path
    self.peer = peer
    isStale = 0
  }
}

/// Runs of route entries in a few sizes, with a list of free runs for each size.
struct RouteArena: ~Copyable {
  static let capacities: [UInt32] = [
    0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 4096, 65536,
  ]

  private var entries = Slab<RouteEntry>()
  /// First free run by size; the next one is in its first entry's `path`. 0: none.
  private var free: [UInt32]

  init() {
    free = Array(repeating: 0, count: Self.capacities.count)
    entries.append(RouteEntry(path: 0, peer: 0))  // position 0 is none
  }

  @inline(__always) subscript(position: UInt32) -> RouteEntry {
    unsafeAddress { UnsafePointer(entries.base + checked(position)) }
    unsafeMutableAddress { entries.base + checked(position) }
  }

  @inline(__always) private func checked(_ position: UInt32) -> Int {
    precondition(Int(position) < entries.count, "no such route")
    return Int(position)
  }

  /// The run in the next size, the old one freed.
  mutating func grown(_ start: UInt32, _ capacity: UInt8, _ count: UInt16) -> (start: UInt32, capacity: UInt8) {
    let larger = capacity + 1
    precondition(Int(larger) < Self.capacities.count, "a prefix has at most 65535 routes")
    let fresh = take(larger)
    for offset in 0..<UInt32(count) { entries[fresh &+ offset] = entries[start &+ offset] }
    release(start, capacity)
    return (fresh, larger)
  }

  private mutating func take(_ capacity: UInt8) -> UInt32 {
    let first = free[Int(capacity)]
    if first != 0 {
      free[Int(capacity)] = entries[first].path
      return first
    }
    let start = UInt32(truncatingIfNeeded: entries.count)
    entries.extend(
      to: entries.count + Int(Self.capacities[Int(capacity)]), with: RouteEntry(path: 0, peer: 0))
    return start
  }

  mutating func release(_ start: UInt32, _ capacity: UInt8) {
    guard capacity > 0 else { return }
    entries[start].path = free[Int(capacity)]
    free[Int(capacity)] = start
  }
}
