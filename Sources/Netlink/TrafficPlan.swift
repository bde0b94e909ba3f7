/// The qdiscs and classes that shape what leaves one interface: as wanted, or as read. What stands at `ingress` is no
/// part of it.
public struct TrafficPlan: Hashable, Sendable {
  public var link: InterfaceIndex
  public var qdiscs: [Qdisc]
  public var classes: [TrafficClass]

  public init(on link: InterfaceIndex, qdiscs: [Qdisc] = [], classes: [TrafficClass] = []) {
    self.link = link
    self.qdiscs = qdiscs
    self.classes = classes
  }

  /// Nothing is shaped.
  public var isEmpty: Bool { qdiscs.isEmpty }

  /// What the kernel must have for it: `QdiscSupport.probe` says which are missing.
  public var kinds: Set<String> { Set(qdiscs.map(\.discipline.kind)) }

  /// With all numbers as the kernel keeps them, and in order: equal to what is read back.
  public var kept: TrafficPlan {
    TrafficPlan(on: link, qdiscs: qdiscs.map(\.kept), classes: classes.map(\.kept)).inOrder
  }

  /// What hangs below something stands behind it; otherwise by handle.
  fileprivate var inOrder: TrafficPlan {
    let parents = Dictionary(classes.map { ($0.handle, $0.parent) }) { first, _ in first }
    func depth(_ handle: TrafficHandle) -> Int {
      var (depth, place) = (0, handle)
      while depth < mostLevels, let parent = parents[place] { (depth, place) = (depth + 1, parent) }
      return depth
    }
    return TrafficPlan(
      on: link, qdiscs: qdiscs.sorted { (depth($0.parent), $0.handle) < (depth($1.parent), $1.handle) },
      classes: classes.sorted { (depth($0.handle), $0.handle) < (depth($1.handle), $1.handle) })
  }

  /// TC_HTB_MAXDEPTH of linux/pkt_sched.h; also keeps a plan whose classes hang from each other from going on for ever.
  private var mostLevels: Int { 8 }
}

/// One step from a plan to another. What it does to traffic stands with `TrafficPlan.changes`.
public enum TrafficChange: Hashable, Sendable {
  case setQdisc(Qdisc)
  case deleteQdisc(parent: TrafficHandle)
  case setClass(TrafficClass)
  case deleteClass(TrafficHandle)
}

extension TrafficPlan {
  /// What must be done to get from `current` (read from the kernel, `NetlinkSocket.trafficPlan`) to this plan; empty
  /// when it stands already.
  ///
  /// Rates, bursts and limits change in place: what waits goes on waiting. A root of another kind or handle, other
  /// options of HTB itself, a class under another parent, or another kind of queue under the same handle means starting
  /// over: what waits is dropped, and for a moment packets pass unshaped.
  public func changes(from current: TrafficPlan) -> [TrafficChange] {
    let (wanted, current) = (kept, current.inOrder)
    guard wanted != current else { return [] }
    guard !isEmpty else { return [.deleteQdisc(parent: .root)] }
    // What is sent is what was asked for, never what was kept of it: rounding again would round further.
    return wanted.canGrow(from: current) ? inOrder.steps(from: current) : inOrder.rebuilding(over: current)
  }

  /// An explicit `noqueue` first: unlike a deletion it is never refused for want of a qdisc, and unlike a replacement
  /// it makes room for another kind under the same handle.
  private func rebuilding(over current: TrafficPlan) -> [TrafficChange] {
    let reset: [TrafficChange] = current.isEmpty ? [] : [.setQdisc(Qdisc(on: link, .noqueue))]
    let roots = qdiscs.filter { $0.parent == .root }
    let leaves = qdiscs.filter { $0.parent != .root }
    return reset + roots.map(TrafficChange.setQdisc) + classes.map(TrafficChange.setClass)
      + leaves.map(TrafficChange.setQdisc)
  }

  private func canGrow(from current: TrafficPlan) -> Bool {
    guard let root = qdiscs.first, let old = current.qdiscs.first, root.isChangeable(from: old) else { return false }
    let parents = Dictionary(current.classes.map { ($0.handle, $0.parent) }) { $1 }
    let queues = Dictionary(current.qdiscs.map { ($0.parent, $0) }) { $1 }
    return classes.allSatisfy { (parents[$0.handle] ?? $0.parent) == $0.parent }
      && qdiscs.allSatisfy { qdisc in queues[qdisc.parent].map(qdisc.isChangeable) ?? true }
  }

  /// Both plans are in order: reversed, what hangs below goes first.
  private func steps(from current: TrafficPlan) -> [TrafficChange] {
    let handles = Set(classes.map(\.handle))
    let parents = Set(qdiscs.map(\.parent))
    let gone = current.classes.map(\.handle).filter { !handles.contains($0) }
    let emptied = current.qdiscs.map(\.parent).filter { !parents.contains($0) && !gone.contains($0) }
    let oldClasses = Set(current.classes)
    let oldQdiscs = Set(current.qdiscs)
    return gone.reversed().map(TrafficChange.deleteClass)
      + emptied.map { TrafficChange.deleteQdisc(parent: $0) }
      + classes.filter { !oldClasses.contains($0.kept) }.map(TrafficChange.setClass)
      + qdiscs.filter { !oldQdiscs.contains($0.kept) }.map(TrafficChange.setQdisc)
  }
}

extension Qdisc {
  /// Whether the kernel can make this of the other without a new qdisc.
  fileprivate func isChangeable(from old: Qdisc) -> Bool {
    guard handle == old.handle, parent == old.parent, discipline.kind == old.discipline.kind else { return false }
    if case .htb = discipline { return discipline == old.discipline }  // htb_qdisc_ops has no change
    return true
  }
}

extension MessageBatch {
  public mutating func apply(_ changes: [TrafficChange], on link: InterfaceIndex) {
    for change in changes {
      switch change {
      case .setQdisc(let qdisc): setQdisc(qdisc)
      case .deleteQdisc(let parent): deleteQdisc(on: link, parent: parent)
      case .setClass(let trafficClass): setClass(trafficClass)
      case .deleteClass(let handle): deleteClass(handle, on: link)
      }
    }
  }
}

extension NetlinkSocket {
  /// What shapes an interface now, the kernel's own defaults left out. The qdisc inside `tbf` and classes that are no
  /// more than the inside of a qdisc (`tbf`, `fq_codel`, `mq`) are left out too.
  public func trafficPlan(of link: InterfaceIndex) throws(KernelError) -> TrafficPlan {
    let qdiscs = try qdiscs(of: link).map(\.subject).filter { qdisc in
      qdisc.handle != .none && qdisc.parent != .ingress && qdisc.discipline != .noqueue
    }
    let classes = try classes(of: link).map(\.subject).filter { $0.discipline.kind == "htb" }
    return TrafficPlan(on: link, qdiscs: qdiscs, classes: classes).inOrder
  }
}
