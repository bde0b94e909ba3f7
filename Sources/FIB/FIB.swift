// Puts best routes into the kernel, and keeps them there.
//
//   RoutingTable ── set(prefix, next hops) ──► FIB ── Round ──► KernelWriter ──► kernel
//                                               ▲
//   agent's monitor ── links, underlay, losses ─┘
//
// The caller opens a round with `set` for every change, and ends it with `commit(version)`. The FIB resolves sets of
// BGP next hops through the underlay to nexthop objects (NexthopObjects), and writes routes that name those objects.
// What is resolved may change under the routes (`setUnderlay`): then an object is replaced and no route is touched.
// A route whose next hops cannot be reached is not in the kernel.
//
// Version: the kernel has acknowledged everything up to `acknowledgedVersion` of Loc-RIB, refusals included: those
// are events, and are tried again whenever the underlay or a link changes.
//
// The kernel flushes nexthop objects, with their routes and without a word, when their interface goes down or loses
// its carrier. The agent says so (`linkLost`), and after the dust has settled the objects are compared with the
// kernel's (`verify`), so that a missed event costs time, never a route. When the new way to a next hop is known before
// the loss of the old one is, the object that is to be replaced is gone: the kernel says so (ENOENT), and the object and
// its routes are made anew.
//
// A new process finds the routes of the one before it (`adopt`): they stay until they are confirmed by being written
// again, or until `sweep` (RFC 4724 section 4.1).
//
// Deliberately absent: other protocols' routes (the agent's), next-hop reachability for the decision process (the
// routing table has its own underlay), tables other than main.
//
// One thread: all calls come from the loop that owns the FIB.

internal import CLinux
import Glibc
public import NetTypes
public import Netlink

public final class FIB {
  /// Something people should know: what the kernel refused.
  public struct Event: Sendable {
    /// A prefix, an interface or a nexthop; may be empty.
    public var subject: String
    public var text: String
  }

  public var onEvent: (Event) -> Void = { _ in }

  private let writer: KernelWriter
  private let questions: NetlinkSocket
  private let routeProtocol: RouteProtocol
  private var underlay = Underlay()
  private var objects = NexthopObjects()
  private var table = PrefixTable()
  private var round = Round()
  /// Slots whose routes are to be written again at the end of the round.
  private var toRewrite: Set<UInt32> = []
  private var toRelease: Set<UInt32> = []
  private var refused: Set<IPPrefix> = []
  private var stale: Set<IPPrefix> = []
  private var staleObjects: [NexthopID] = []
  private var mustVerify = false
  /// Versions that no round carries, because there was nothing to write.
  private var versionWithoutRound: UInt64?
  private var lastSlot: (set: UInt32, family: AddressFamily, slot: UInt32)?

  /// Newest version of Loc-RIB that the kernel holds.
  public private(set) var acknowledgedVersion: UInt64 = 0
  /// Grows with every request to the kernel.
  public private(set) var activity: UInt64 = 0

  /// - Parameters:
  ///   - namespace: nil: the calling thread's.
  ///   - protocol: under which the routes stand.
  public init(in namespace: Namespace? = nil, protocol: RouteProtocol = .bgp) throws(KernelError) {
    writer = try KernelWriter(namespace: namespace, protocol: `protocol`)
    if let namespace {
      questions = try NetlinkSocket(in: namespace, receiveBuffer: 4 << 20)
    } else {
      questions = try NetlinkSocket(receiveBuffer: 4 << 20)
    }
    routeProtocol = `protocol`
  }

  /// Readable when the writer's thread has finished something: call `collect`.
  public var completionDescriptor: Int32 { writer.done }
  /// Whose echoes a monitor may leave out (`Monitor.ignore`).
  public var portID: UInt32 { writer.portID }
  /// Nothing is on its way to the kernel.
  public var isIdle: Bool { writer.isIdle && !mustVerify && versionWithoutRound == nil }
  /// Requests on their way. A caller with much to say waits while it is large.
  public var backlog: Int { writer.backlog }
  /// Prefixes with a best route that leads somewhere.
  public var routeCount: Int {
    objects.liveSlots.reduce(0) { sum, slot in
      objects.targets[Int(slot)].id == nil ? sum : sum + objects.targets[Int(slot)].references
    }
  }
}

// MARK: - Changes of best routes

extension FIB {
  /// The set of next hops of no route.
  public static let noSet: UInt32 = 0

  /// The best routes of a prefix lead to this set of BGP next hops from now on; `noSet`: to nowhere.
  /// - Parameter nextHops: the members of a set, asked once per set.
  public func set(_ prefix: IPPrefix, to set: UInt32, nextHops: (UInt32) -> [IPAddress]) {
    guard set != Self.noSet else { return remove(prefix) }
    let slot = slot(of: set, prefix.family, nextHops)
    let old = table.update(prefix, to: slot)
    if old == slot, refused.isEmpty, stale.isEmpty { return }
    if old != slot {
      objects.count(slot, by: 1)
      if let old { dereference(old) }
    }
    if let id = objects.id(slot) {
      round.routes.append(Round.RouteWrite(prefix: prefix, nexthop: id))
      if !stale.isEmpty { stale.remove(prefix) }
    } else if old.flatMap(objects.id) != nil {
      round.routes.append(Round.RouteWrite(prefix: prefix, nexthop: nil))
    }
  }

  private func remove(_ prefix: IPPrefix) {
    if let old = table.remove(prefix) {
      if objects.id(old) != nil { round.routes.append(Round.RouteWrite(prefix: prefix, nexthop: nil)) }
      dereference(old)
    } else if stale.contains(prefix) {
      round.routes.append(Round.RouteWrite(prefix: prefix, nexthop: nil))
    }
    if !stale.isEmpty { stale.remove(prefix) }
    if !refused.isEmpty { refused.remove(prefix) }
  }

  /// The slot, resolved. Runs of one set, as tables come in, are answered from the last answer.
  private func slot(of set: UInt32, _ family: AddressFamily, _ nextHops: (UInt32) -> [IPAddress]) -> UInt32 {
    if let last = lastSlot, last.set == set, last.family == family { return last.slot }
    let (slot, isNew) = objects.slot(of: set, family, nextHops: nextHops)
    if isNew { _ = objects.resolve(slot, underlay, into: &round) }
    toRelease.remove(slot)
    lastSlot = (set, family, slot)
    return slot
  }

  private func dereference(_ slot: UInt32) {
    objects.count(slot, by: -1)
    if objects.targets[Int(slot)].references == 0 { toRelease.insert(slot) }
  }

  /// Ends a round.
  /// - Parameter version: of Loc-RIB, when all its changes have been handed over; nil: there is more to come.
  public func commit(version: UInt64?) {
    rewriteRoutes()
    for slot in toRelease where objects.targets[Int(slot)].references == 0 { objects.release(slot, into: &round) }
    toRelease = []
    lastSlot = nil
    round.version = version
    let finished = round
    round = Round()
    if finished.isEmpty {
      if let version { note(version) }
      return
    }
    activity += UInt64(finished.count)
    if let result = writer.submit(finished) { finish(result) }
  }

  private func note(_ version: UInt64) {
    if writer.isIdle {
      acknowledgedVersion = max(acknowledgedVersion, version)
    } else {
      versionWithoutRound = version
    }
  }

  private func rewriteRoutes() {
    guard !toRewrite.isEmpty else { return }
    table.forEach { prefix, slot in
      guard toRewrite.contains(slot), let id = objects.id(slot) else { return }
      round.routes.append(Round.RouteWrite(prefix: prefix, nexthop: id))
      stale.remove(prefix)
    }
    toRewrite = []
  }
}

// MARK: - What the writer answers

extension FIB {
  /// Takes the results of finished rounds. Call it when `completionDescriptor` is readable.
  public func collect() {
    for result in writer.collect() { finish(result) }
    guard writer.isIdle else { return }
    if let version = versionWithoutRound {
      acknowledgedVersion = max(acknowledgedVersion, version)
      versionWithoutRound = nil
    }
    if mustVerify { verify() }
  }

  private func finish(_ result: RoundResult) {
    if let version = result.version { acknowledgedVersion = max(acknowledgedVersion, version) }
    if let failure = result.failure {
      onEvent(Event(subject: "", text: "\(failure); everything is compared with the kernel again"))
      mustVerify = true
    }
    var mustResolve = false
    for (id, error) in result.refusedNexthops {
      // Flushed with its link, and we were told of the new way before we were told of the link.
      if error.number == ENOENT { mustResolve = true } else { tell(id, error) }
      objects.forget(id)
    }
    defer { if mustResolve { resolveAll() } }
    for (prefix, _) in result.refusedRoutes { refused.insert(prefix) }
    // What was refused because of such an object is written again with the new one.
    guard !mustResolve else { return }
    for (prefix, error) in result.refusedRoutes.prefix(3) {
      onEvent(Event(subject: prefix.description, text: error.description))
    }
    if result.refusedRoutes.count > 3 {
      onEvent(Event(subject: "", text: "the kernel refused \(result.refusedRoutes.count) routes in one batch"))
    }
  }

  private func tell(_ id: NexthopID, _ error: KernelError) {
    onEvent(Event(subject: "nexthop \(id.rawValue)", text: error.description))
  }
}

// MARK: - What the agent sees

extension FIB {
  /// The routes that next hops resolve through, whole. Objects whose paths changed are replaced, refused routes are
  /// tried again.
  public func setUnderlay(_ new: Underlay) {
    guard new != underlay || !refused.isEmpty else { return }
    underlay = new
    resolveAll()
  }

  /// An interface went down or lost its carrier: the kernel has flushed what led over it. Follow with `setUnderlay`.
  public func linkLost(_ link: InterfaceIndex) {
    objects.forget(link: link)
    lastSlot = nil
    mustVerify = true
  }

  /// A nexthop object was deleted by somebody.
  public func nexthopLost(_ id: NexthopID) {
    objects.forget(id)
    resolveAll()
  }

  /// Whether a route of table main stands under our protocol, or where one of ours would: then somebody who writes or
  /// deletes it means `routesLost`.
  public func claims(_ route: Route) -> Bool {
    route.table == .main && (route.protocol == routeProtocol || route.metric == metric(of: route.destination.family))
  }

  /// Somebody deleted routes of ours, or wrote others under our protocol or in our place: ours are written again, and
  /// what stands under our protocol without being ours is deleted.
  public func routesLost(_ routes: some Sequence<Route>) {
    for route in routes {
      restore(route.destination)
      // One that names our own object is ours: whoever replaces an object makes the kernel announce all of its routes.
      guard route.protocol == routeProtocol, !stale.contains(route.destination), !isOurs(route) else { continue }
      round.strangers.append(route)
    }
    commit(version: nil)
  }

  /// The route of a prefix may be gone: it is written again.
  public func routesLost(_ prefixes: some Sequence<IPPrefix>) {
    for prefix in prefixes { restore(prefix) }
    commit(version: nil)
  }

  /// Nobody knows what was written or deleted: every route is compared with the kernel's.
  public func verifyRoutes() {
    do throws(KernelError) {
      let standing = try questions.routes(.init(protocol: routeProtocol))
      let right = Set(standing.filter(isOurs).map(\.destination))
      var lost: [IPPrefix] = []
      table.forEach { prefix, slot in
        if objects.id(slot) != nil, !right.contains(prefix) { lost.append(prefix) }
      }
      routesLost(lost)
      routesLost(standing.filter { !isOurs($0) })
    } catch {
      onEvent(Event(subject: "", text: error.description))
    }
  }

  private func restore(_ prefix: IPPrefix) {
    guard let slot = table[prefix], let id = objects.id(slot) else { return }
    round.routes.append(Round.RouteWrite(prefix: prefix, nexthop: id))
  }

  private func isOurs(_ route: Route) -> Bool {
    guard let id = route.nexthop, let slot = table[route.destination] else { return false }
    return objects.id(slot) == id && route.metric == metric(of: route.destination.family)
  }

  private func resolveAll() {
    for slot in objects.liveSlots {
      if objects.resolve(slot, underlay, into: &round), objects.targets[Int(slot)].references > 0 {
        toRewrite.insert(slot)
      }
    }
    for prefix in refused {
      if let slot = table[prefix], let id = objects.id(slot), !toRewrite.contains(slot) {
        round.routes.append(Round.RouteWrite(prefix: prefix, nexthop: id))
      }
    }
    refused = []
    commit(version: nil)
  }

  /// Compares the nexthop objects with the kernel's, makes anew what is missing and deletes what is too much. While
  /// the writer is at work this waits for it.
  public func verify() {
    guard writer.isIdle else {
      mustVerify = true
      return
    }
    mustVerify = false
    do throws(KernelError) {
      let unknown = objects.compare(with: try questions.nexthops(), protocol: routeProtocol)
      if stale.isEmpty { round.unused += unknown.filter { !staleObjects.contains($0) } }
      resolveAll()
    } catch {
      onEvent(Event(subject: "", text: error.description))
    }
  }
}

// MARK: - Routes of an earlier process

extension FIB {
  /// Finds the routes that an earlier process left. They stay until written again or swept.
  /// - Returns: the families it found routes of.
  public func adopt() throws(KernelError) -> Set<AddressFamily> {
    for nexthop in try questions.nexthops() {
      objects.nextID = max(objects.nextID, nexthop.id.rawValue &+ 1)
      if nexthop.protocol == routeProtocol { staleObjects.append(nexthop.id) }
    }
    // A group goes before its members: members take their groups' other routes with them.
    staleObjects.reverse()
    stale = Set(try questions.routes(.init(protocol: routeProtocol)).map(\.destination))
    return Set(stale.map(\.family))
  }

  /// Deletes the routes found by `adopt` that nobody has written since, and the objects they used.
  public func sweep() {
    for prefix in stale where table[prefix].flatMap(objects.id) == nil {
      round.routes.append(Round.RouteWrite(prefix: prefix, nexthop: nil))
    }
    round.unused += staleObjects
    stale = []
    staleObjects = []
    commit(version: nil)
  }

  /// Takes every route out of the kernel again, and waits until that is done.
  public func withdrawAll() {
    table.forEach { prefix, slot in
      if objects.id(slot) != nil { round.routes.append(Round.RouteWrite(prefix: prefix, nexthop: nil)) }
    }
    for slot in objects.liveSlots {
      objects.count(slot, by: -objects.targets[Int(slot)].references)
      objects.release(slot, into: &round)
    }
    table = PrefixTable()
    sweep()
    while !writer.isIdle {
      var waiting = pollfd(fd: writer.done, events: Int16(POLLIN), revents: 0)
      _ = poll(&waiting, 1, 1000)
      collect()
    }
  }
}
