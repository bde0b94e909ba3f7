// Flow rules of both families (RFC 8955, RFC 8956): Adj-RIB-In of all peers, and the best route of each rule.
//
//   receive ─► FlowTable.entries: rule ─► routes (path, peer) ─► validation ─► decision ─► Adj-RIB-Out (Peer.flows)
//                                             ▲
//   decide (unicast) ── noteBest ─────────────┘  a rule is asked again when a route that it depends on changed
//
// Rules come in hundreds or thousands, so this is plain dictionaries beside the flat tables of prefixes; what the two
// share is everything that depends on attributes: sets, paths (import policy, loop checks, decision numbers) and what
// export makes of them. With no rule held, unicast pays one comparison for each change of a best route.
//
// Validation (RFC 8955 section 6 as changed by RFC 9117) asks for the longest match of the rule's destination, found by
// as many look-ups as there are lengths, and whether routes inside the destination came from another neighboring AS.
// For those the best routes inside every destination are counted by neighboring AS: once over the whole table when a
// destination is new, then with each change.

import BGPWire
import NetTypes

struct FlowTable {
  struct Route {
    var path: UInt32
    var peer: UInt16
    var isStale = false
    /// As of the last decision.
    var infeasible: FlowInfeasibility?
  }

  struct Entry {
    let rule: FlowRule
    var routes: [Route] = []
    /// Path id; 0: none. Holds a reference on the path.
    var best: UInt32 = 0
    var isDirty = false
    /// Adj-RIBs-Out that hold something about it.
    var users = 0
  }

  /// A prefix that rules name as destination.
  struct Destination {
    var rules: [Int] = []
    /// Best routes strictly inside it, by neighboring AS (0: our own).
    var inside: [UInt32: Int] = [:]
    var isCounted = false
  }

  private(set) var entries: [Entry?] = []
  private var ids: [FlowRule: Int] = [:]
  private var free: [Int] = []
  private var dirty: [Int] = []

  private(set) var destinations: [IPPrefix: Destination] = [:]
  /// How many destinations each prefix covers: all that a changed route has to be looked up in.
  private var covers: [IPPrefix: Int] = [:]
  /// Destinations by length, by address family.
  private var lengths = PerFamily([Int: Int]())
  private(set) var hasUncounted = false

  var hasWork: Bool { !dirty.isEmpty }
  /// Changes of unicast routes matter.
  var isWatching: Bool { !destinations.isEmpty }
  var isEmpty: Bool { ids.isEmpty }
  /// In the order in which they came; for loops over everything.
  var live: [Int] { entries.indices.filter { entries[$0] != nil } }

  subscript(id: Int) -> Entry {
    get {
      guard let entry = entries[id] else { preconditionFailure("no such flow rule") }
      return entry
    }
    set { entries[id] = newValue }
  }

  func find(_ rule: FlowRule) -> Int? { ids[rule] }

  mutating func findOrInsert(_ rule: FlowRule) -> Int {
    if let id = ids[rule] { return id }
    let id: Int
    if let reused = free.popLast() {
      id = reused
      entries[id] = Entry(rule: rule)
    } else {
      id = entries.count
      entries.append(Entry(rule: rule))
    }
    ids[rule] = id
    if let destination = rule.destination { watch(destination, id) }
    return id
  }

  mutating func freeIfUnused(_ id: Int) {
    let entry = self[id]
    guard entry.routes.isEmpty, entry.best == 0, entry.users == 0, !entry.isDirty else { return }
    ids[entry.rule] = nil
    entries[id] = nil
    free.append(id)
    if let destination = entry.rule.destination { unwatch(destination, id) }
  }

  mutating func markDirty(_ id: Int) {
    guard !self[id].isDirty else { return }
    self[id].isDirty = true
    dirty.append(id)
  }

  mutating func takeDirty() -> [Int] {
    let taken = dirty
    dirty = []
    for id in taken { self[id].isDirty = false }
    return taken
  }

  // MARK: - Destinations

  private mutating func watch(_ prefix: IPPrefix, _ id: Int) {
    if destinations[prefix] == nil {
      hasUncounted = true
      lengths[Family(prefix.family)][Int(prefix.length), default: 0] += 1
      forEachCover(prefix) { covers[$0, default: 0] += 1 }
    }
    destinations[prefix, default: Destination()].rules.append(id)
  }

  private mutating func unwatch(_ prefix: IPPrefix, _ id: Int) {
    destinations[prefix]?.rules.removeAll { $0 == id }
    guard destinations[prefix]?.rules.isEmpty == true else { return }
    destinations[prefix] = nil
    lengths[Family(prefix.family)][Int(prefix.length), default: 1] -= 1
    if lengths[Family(prefix.family)][Int(prefix.length)] == 0 {
      lengths[Family(prefix.family)][Int(prefix.length)] = nil
    }
    forEachCover(prefix) {
      covers[$0, default: 1] -= 1
      if covers[$0] == 0 { covers[$0] = nil }
    }
  }

  /// The prefix itself and all that it lies in.
  private func forEachCover(_ prefix: IPPrefix, _ body: (IPPrefix) -> Void) {
    for length in 0...Int(prefix.length) {
      if let cover = IPPrefix(prefix.address, length: length) { body(cover) }
    }
  }

  /// The best route of a prefix has changed.
  /// - Parameters:
  ///   - old: neighboring AS of the best route before; nil: there was none.
  ///   - new: the same of now.
  mutating func noteBest(_ prefix: IPPrefix, old: UInt32?, new: UInt32?) {
    if covers[prefix] != nil {
      for (destination, record) in destinations where prefix.contains(destination) {
        for id in record.rules { markDirty(id) }
      }
    }
    forEachDestination(strictlyAround: prefix) { destination in
      guard destinations[destination]?.isCounted == true else { return }
      count(destination, old, -1)
      count(destination, new, 1)
      for id in destinations[destination]?.rules ?? [] { markDirty(id) }
    }
  }

  /// Destinations that hold the prefix and are larger.
  private func forEachDestination(strictlyAround prefix: IPPrefix, _ body: (IPPrefix) -> Void) {
    for length in lengths[Family(prefix.family)].keys where length < Int(prefix.length) {
      guard let around = IPPrefix(prefix.address, length: length), destinations[around] != nil else { continue }
      body(around)
    }
  }

  private mutating func count(_ destination: IPPrefix, _ asn: UInt32?, _ change: Int) {
    guard let asn else { return }
    destinations[destination]?.inside[asn, default: 0] += change
    if destinations[destination]?.inside[asn] == 0 { destinations[destination]?.inside[asn] = nil }
  }

  /// A best route as it stands, for destinations that are new.
  mutating func countFirst(_ prefix: IPPrefix, _ asn: UInt32) {
    forEachDestination(strictlyAround: prefix) {
      if destinations[$0]?.isCounted == false { count($0, asn, 1) }
    }
  }

  mutating func endCount() {
    for destination in Array(destinations.keys) { destinations[destination]?.isCounted = true }
    hasUncounted = false
  }
}

/// Why a rule of a neighbor is not obeyed (RFC 8955 section 6, RFC 9117 section 4).
enum FlowInfeasibility: Hashable, Sendable {
  /// Rule a.
  case noDestination
  /// Rule b: nothing leads to the destination.
  case noRoute
  /// Rule b: the best route comes from somebody else.
  case originator
  /// RFC 9117 section 4.2: both have to come from one neighboring AS.
  case neighborAS
  /// Rule c.
  case moreSpecific

  /// For people.
  var text: String {
    switch self {
    case .noDestination: "validation: the rule names no destination prefix"
    case .noRoute: "validation: there is no route to the destination"
    case .originator: "validation: the originator of the best route to the destination is another"
    case .neighborAS: "validation: the best route to the destination comes from another neighboring AS"
    case .moreSpecific: "validation: another AS announces a part of the destination"
    }
  }
}

/// What one peer sent of flow rules, was told, and is still to be told.
struct PeerFlows {
  struct State {
    /// Outgoing set; 0: withdrawn.
    var wanted: UInt32
    /// The peer holds something of us for the rule.
    var isAdvertised = false
    var isWaiting = false
  }

  var received = PerFamily(0)
  var accepted = PerFamily(0)
  var stale = PerFamily(0)
  var sent = PerFamily(0)
  /// By rule id.
  var out: [Int: State] = [:]
  var waiting = PerFamily([Int]())
  /// An UPDATE of the family was malformed: nothing of it counts until the session ends (RFC 4760 section 7).
  var disabled: FamilySet = []
}
