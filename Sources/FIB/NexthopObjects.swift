internal import NetTypes
internal import Netlink

/// The kernel objects behind sets of BGP next hops.
///
/// A set that resolves to one path is one nexthop object; to several, a group over objects of single paths, which sets
/// share. An object's number stays while its paths change, so a changed path is one request however many routes name
/// the object. Two things need a new number, and the routes written again: a single path that becomes several (the
/// kernel refuses to turn one kind into the other), and an object that the kernel flushed with its interface.
struct NexthopObjects {
  /// A set of BGP next hops as used by one address family, in a slot that the route tables point at.
  struct Target {
    var set: UInt32
    var family: AddressFamily
    var nextHops: [IPAddress]
    /// Prefixes whose best route uses it.
    var references = 0
    /// What the object holds, sorted; empty: there is no object, because no next hop can be reached.
    var paths: [Underlay.Path] = []
    var id: NexthopID?
    var isGroup = false
  }

  private struct Member {
    var id: NexthopID
    var references: Int
  }

  private(set) var targets: [Target] = []
  private var free: [UInt32] = []
  private var slots: [UInt64: UInt32] = [:]
  /// Objects of single paths inside groups; the weight is left at 1 here, it belongs to the group.
  private var members: [Underlay.Path: Member] = [:]
  /// The next number to give.
  var nextID: UInt32 = 1

  private static func key(_ set: UInt32, _ family: AddressFamily) -> UInt64 {
    UInt64(set) << 8 | UInt64(family.rawValue)
  }

  /// The slot of a set, made when there is none.
  mutating func slot(of set: UInt32, _ family: AddressFamily, nextHops: (UInt32) -> [IPAddress]) -> (UInt32, new: Bool)
  {
    let key = Self.key(set, family)
    if let slot = slots[key] { return (slot, false) }
    let target = Target(set: set, family: family, nextHops: nextHops(set))
    let slot: UInt32
    if let reused = free.popLast() {
      slot = reused
      targets[Int(slot)] = target
    } else {
      slot = UInt32(targets.count)
      targets.append(target)
    }
    slots[key] = slot
    return (slot, true)
  }

  mutating func count(_ slot: UInt32, by difference: Int) { targets[Int(slot)].references += difference }

  func id(_ slot: UInt32) -> NexthopID? { targets[Int(slot)].id }

  var liveSlots: [UInt32] { Array(slots.values) }

  /// Brings the object of a slot to what its next hops resolve to now.
  /// - Returns: whether the routes that name the slot must be written again.
  mutating func resolve(_ slot: UInt32, _ underlay: Underlay, into round: inout Round) -> Bool {
    let target = targets[Int(slot)]
    let paths = Self.paths(of: target, underlay)
    if paths == target.paths { return false }
    // Many routes on the object: let the kernel move them without announcing each.
    if target.id != nil, target.references > 1000 { round.movesManyRoutes = true }
    if paths.isEmpty {
      dismiss(slot, into: &round)
      return false
    }
    let becomesGroup = target.isGroup || paths.count > 1
    var mustRewrite = target.id == nil
    if let old = target.id, becomesGroup != target.isGroup {
      round.unused.append(old)
      targets[Int(slot)].id = nil
      mustRewrite = true
    }
    let isNew = targets[Int(slot)].id == nil
    let id = targets[Int(slot)].id ?? newID()
    let before = target.isGroup ? target.paths : []
    targets[Int(slot)].id = id
    targets[Int(slot)].isGroup = becomesGroup
    targets[Int(slot)].paths = paths
    if becomesGroup {
      let group = paths.map { Nexthop.Member(retainMember($0, into: &round), weight: $0.weight) }
      round.nexthops.append(.init(nexthop: Nexthop(id: id, target: .group(group), family: nil), isNew: isNew))
    } else if let path = paths.first {
      round.nexthops.append(.init(nexthop: Self.single(id, path), isNew: isNew))
    }
    for path in before { releaseMember(path, into: &round) }
    return mustRewrite
  }

  /// Deletes the object of a slot, and with it the routes that name it.
  private mutating func dismiss(_ slot: UInt32, into round: inout Round) {
    let target = targets[Int(slot)]
    if let id = target.id { round.unused.append(id) }
    if target.isGroup { for path in target.paths { releaseMember(path, into: &round) } }
    targets[Int(slot)].id = nil
    targets[Int(slot)].paths = []
    targets[Int(slot)].isGroup = false
  }

  /// Forgets a slot that nothing references.
  mutating func release(_ slot: UInt32, into round: inout Round) {
    guard targets[Int(slot)].references == 0, slots[Self.key(targets[Int(slot)].set, targets[Int(slot)].family)] == slot
    else { return }
    dismiss(slot, into: &round)
    slots[Self.key(targets[Int(slot)].set, targets[Int(slot)].family)] = nil
    targets[Int(slot)].nextHops = []
    free.append(slot)
  }

  private mutating func newID() -> NexthopID {
    defer { nextID &+= 1 }
    return NexthopID(rawValue: nextID)
  }

  private mutating func retainMember(_ path: Underlay.Path, into round: inout Round) -> NexthopID {
    let key = Underlay.Path(gateway: path.gateway, link: path.link)
    if let member = members[key] {
      members[key]?.references += 1
      return member.id
    }
    let id = newID()
    members[key] = Member(id: id, references: 1)
    round.nexthops.append(.init(nexthop: Self.single(id, path), isNew: true))
    return id
  }

  private mutating func releaseMember(_ path: Underlay.Path, into round: inout Round) {
    let key = Underlay.Path(gateway: path.gateway, link: path.link)
    guard let member = members[key] else { return }
    if member.references > 1 {
      members[key]?.references -= 1
    } else {
      members[key] = nil
      round.unused.append(member.id)
    }
  }

  private static func single(_ id: NexthopID, _ path: Underlay.Path) -> Nexthop {
    Nexthop(id: id, target: .gateway(path.gateway, path.link ?? 0), family: path.gateway?.family ?? .ipv4)
  }

  /// The union of what the next hops resolve to. Equal ways out are one, with their weights added.
  private static func paths(of target: Target, _ underlay: Underlay) -> [Underlay.Path] {
    var weights: [Underlay.Path: UInt32] = [:]
    for nextHop in target.nextHops {
      for path in underlay.resolve(nextHop) {
        // IPv4 over an IPv6 gateway is possible (RFC 8950), IPv6 over an IPv4 one is not.
        guard let gateway = path.gateway, target.family == .ipv4 || gateway.family == .ipv6 else { continue }
        weights[Underlay.Path(gateway: gateway, link: path.link), default: 0] += max(1, path.weight)
      }
    }
    let divisor = weights.values.reduce(0, greatestCommonDivisor)
    return weights.map { Underlay.Path(gateway: $0.key.gateway, link: $0.key.link, weight: $0.value / max(1, divisor)) }
      .sorted { a, b in a.link == b.link ? text(a) < text(b) : (a.link ?? 0) < (b.link ?? 0) }
  }

  private static func text(_ path: Underlay.Path) -> String { path.gateway?.description ?? "" }

  private static func greatestCommonDivisor(_ a: UInt32, _ b: UInt32) -> UInt32 {
    b == 0 ? a : greatestCommonDivisor(b, a % b)
  }
}

// MARK: - What the kernel did by itself

extension NexthopObjects {
  /// The kernel flushed every object over this interface, and took it out of groups. What is believed follows, so that
  /// the next `resolve` makes anew what is needed.
  mutating func forget(link: InterfaceIndex) {
    members = members.filter { $0.key.link != link }
    for slot in slots.values { forget(slot) { $0.link == link } }
  }

  /// Some object is gone.
  mutating func forget(_ id: NexthopID) {
    if let lost = members.first(where: { $0.value.id == id })?.key {
      members[lost] = nil
      for slot in slots.values where targets[Int(slot)].isGroup {
        forget(slot) { $0.link == lost.link && $0.gateway == lost.gateway }
      }
    }
    for slot in slots.values where targets[Int(slot)].id == id { forget(slot) { _ in true } }
  }

  private mutating func forget(_ slot: UInt32, _ isLost: (Underlay.Path) -> Bool) {
    let target = targets[Int(slot)]
    let left = target.paths.filter { !isLost($0) }
    guard left.count < target.paths.count else { return }
    targets[Int(slot)].paths = left
    guard left.isEmpty || !target.isGroup else { return }
    if target.isGroup { for path in target.paths where !left.contains(path) { forgetReference(path) } }
    targets[Int(slot)].id = nil
    targets[Int(slot)].paths = []
    targets[Int(slot)].isGroup = false
  }

  /// A group that is gone no longer holds its members; one that nothing holds is left to `unknown`.
  private mutating func forgetReference(_ path: Underlay.Path) {
    let key = Underlay.Path(gateway: path.gateway, link: path.link)
    guard let member = members[key] else { return }
    if member.references > 1 { members[key]?.references -= 1 } else { members[key] = nil }
  }

  /// Compares with what the kernel holds: forgets what it does not hold, and answers what it holds of ours beyond.
  mutating func compare(with kernel: [Nexthop], protocol: RouteProtocol) -> [NexthopID] {
    var held: [NexthopID: Nexthop] = [:]
    for nexthop in kernel { held[nexthop.id] = nexthop }
    for (key, member) in members where held[member.id] == nil {
      members[key] = nil
      for slot in slots.values where targets[Int(slot)].isGroup {
        forget(slot) { $0.link == key.link && $0.gateway == key.gateway }
      }
    }
    for slot in slots.values {
      guard let id = targets[Int(slot)].id else { continue }
      switch held[id]?.target {
      case nil: forget(slot) { _ in true }
      case .group(let group)?:
        let inKernel = Set(group.map(\.id))
        let lost = targets[Int(slot)].paths.filter { path in
          members[Underlay.Path(gateway: path.gateway, link: path.link)].map { !inKernel.contains($0.id) } ?? true
        }
        if !lost.isEmpty { forget(slot) { lost.contains($0) } }
      default: break
      }
    }
    let known = Set(members.values.map(\.id)).union(slots.values.compactMap { targets[Int($0)].id })
    return kernel.filter { $0.protocol == `protocol` && !known.contains($0.id) }.map(\.id)
  }
}
