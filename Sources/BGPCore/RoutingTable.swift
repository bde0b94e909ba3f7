// All routes of one speaker: from the bytes of UPDATEs that arrive to the bytes of UPDATEs that leave.
//
//   receive ─► AttributeIndex ─► BlockTable `attributes`      one id an attribute set, whoever sends it
//                                     │
//                  import, once per (set, peer, prefix class) ─► PathTable      policy, loop checks, decision numbers
//                                     │
//              PrefixTable: prefix ─► routes (path, peer), best     Adj-RIB-In and Loc-RIB, a dirty queue
//                                     │
//   process ─► decision ─► ExportGroup: path ─► outgoing set       once per (path, group), encoded in BlockTable `outgoing`
//                                     │
//   writeMessages ◄─ AdjRIBOut: prefix ─► outgoing set, one a peer; whole sets packed into UPDATEs
//   drainFIB ◄─ changed prefixes
//
// Flow rules (FlowTable) share attribute sets, paths and outgoing sets, and have their own small tables otherwise.
//
// The driver calls `receive` as input comes, `process` when no more is waiting (or for a while), then `writeMessages`
// and `drainFIB`. Putting `process` off while input is queued makes one decision and one announcement out of many
// changes; nothing here waits by itself. There is no clock, no I/O, no log; a call with the same arguments gives the
// same result. Neighbors are handled by index; names are for policies and people.
//
// What is kept: every route received, rejected and unusable ones too, so that a change of policy or of a next hop needs
// no ROUTE-REFRESH. What is not kept: messages, or any per-prefix object. Memory is about 60 bytes a prefix with one
// route (record 20, hash slot 8 to 16, route 8, Adj-RIB-Out 4 a peer) and 12 a further route, plus some 200 bytes per
// attribute set.
//
// RFC 4271 (sections 5, 6.3, 9), 4760, 6793, 7606, 7607, 1997, 8092, 4456, 8212, 9234, 7947 (route server transparency),
// 4724 (stale routes, End-of-RIB, deferral), 8955, 8956 and 9117 (flow rules). Deliberately absent: confederations, add-path, route flap damping,
// aggregation, AS_SET origination.

import BGPWire
public import NetTypes

public struct RoutingTable: ~Copyable {
  let options: TableOptions
  var settings: TableSettings
  /// Routes over several next hops may stand in the kernel: `multipath` was above 1 once.
  var hasSpread = false
  var programs: [String: PolicyProgram] = [:]

  /// Canonical attribute sets: as received, and as import policy made them.
  var attributes: BlockTable
  /// Encoded attribute sets as they leave; IPv6 ones behind their next hop.
  var outgoing: BlockTable
  var paths: PathTable
  var nextHops: NextHopTable
  var tables = Pool<PrefixTable>(capacity: 2)
  var flows = FlowTable()

  var peers = Pool<Peer>(capacity: 8)
  var groups = Pool<ExportGroup>()
  var groupIndex: [ExportGroup.Key: Int] = [:]
  var freeGroups: [Int] = []
  /// Peers with a group, by family.
  var exporters = PerFamily<[UInt16]>([])

  var dirty = Pool<IndexQueue>(capacity: 2)
  var fibQueue = Pool<IndexQueue>(capacity: 2)
  /// By prefix id: what `drainFIB` handed over last.
  var fibSets = Pool<Slab<UInt32>>(capacity: 2)
  var nextHopSets: [[IPAddress]] = [[]]
  var nextHopSetIndex: [[IPAddress]: UInt32] = [:]

  /// Over the message that is being read.
  var messageIndex = AttributeIndex()
  /// Over a set of a table.
  var setIndex = AttributeIndex()
  /// Where attribute lists are written before they are interned.
  var scratch = Scratch()

  public internal(set) var isDeferring = false
  /// Grows by one with every change of a best route (or of the set of equal ones).
  public internal(set) var version: UInt64 = 0
  /// Grows with every UPDATE and every change of a route.
  public internal(set) var activity: UInt64 = 0
  /// Grows with every change of what `activeFlowRules` returns.
  public internal(set) var flowVersion: UInt64 = 0
  /// Prefixes with a best route.
  public internal(set) var bestCount = 0

  public init(settings: TableSettings, options: TableOptions = TableOptions()) {
    self.options = options
    self.settings = settings
    hasSpread = settings.multipath > 1
    attributes = BlockTable(seed: options.hashSeed)
    outgoing = BlockTable(seed: options.hashSeed)
    paths = PathTable(seed: options.hashSeed)
    nextHops = NextHopTable(assumesReachable: options.assumesNextHopsReachable)
    for family in Family.unicast {
      tables.append(PrefixTable(family, seed: options.hashSeed))
      dirty.append(IndexQueue())
      fibQueue.append(IndexQueue())
      fibSets.append(Slab<UInt32>())
    }
    var own = PeerSettings(name: "", session: "", asn: settings.asn, address: .v4(IPv4Address(rawValue: 0)))
    own.importPolicy = .accept
    peers.append(Peer(own, isExternal: false))
    peers[0].routerID = settings.routerID
    programs = Self.compile(settings.policies)
    setNetworks(from: [], to: settings.networks)
    setFlowRules(from: [], to: settings.flowRules)
  }

  static func compile(_ policies: [Policy]) -> [String: PolicyProgram] {
    Dictionary(policies.map { ($0.name, PolicyProgram($0)) }, uniquingKeysWith: { first, _ in first })
  }
}

/// Memory for attribute lists on their way into a table.
struct Scratch: ~Copyable {
  private(set) var base = UnsafeMutableRawPointer.allocate(byteCount: 16384, alignment: 16)
  private var capacity = 16384

  deinit { base.deallocate() }

  mutating func reserve(_ wanted: Int) {
    guard wanted > capacity else { return }
    base.deallocate()
    capacity = wanted * 2
    base = .allocate(byteCount: capacity, alignment: 16)
  }

  func bytes(_ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
}

extension Pool where Element: ~Copyable {
  @inline(__always) subscript(family: Family) -> Element {
    unsafeAddress { UnsafePointer(entry(Int(family.rawValue))) }
    unsafeMutableAddress { entry(Int(family.rawValue)) }
  }
}

/// A set of next hops, interned: equal sets have equal numbers for the life of the table.
public struct NextHopSet: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// Nothing to forward to: the route is gone, or we originate it.
  public static let none = NextHopSet(rawValue: 0)
}

public struct FIBChange: Hashable, Sendable {
  public var prefix: IPPrefix
  public var nextHops: NextHopSet
}
