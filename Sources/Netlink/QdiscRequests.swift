internal import CLinux

extension MessageBatch {
  /// What to do where a qdisc or class stands already.
  public enum TrafficMode: Hashable, Sendable {
    /// Refuse with EEXIST. The kernel's own default qdisc (handle 0) does not count.
    case add
    /// Take its place; add it where there is none. A qdisc of the same handle and kind is changed in place, which HTB
    /// does not offer ("Change operation not supported"); one of the same handle and another kind is refused.
    case replace
    /// Change its options in place; refuse with ENOENT where there is none.
    case change

    var flags: MessageFlags {
      switch self {
      case .add: [.create, .exclusive]
      case .replace: [.create, .replace]
      case .change: []
      }
    }
  }

  public mutating func setQdisc(_ qdisc: Qdisc, _ mode: TrafficMode = .replace) {
    append(.newQdisc, mode.flags, tcmsg(qdisc.link, handle: qdisc.handle, parent: qdisc.parent)) { batch in
      batch.put(AttributeType(TCA_KIND), qdisc.discipline.kind)
      qdisc.discipline.putOptions(&batch)
    }
  }

  /// Takes a qdisc away with all its classes and what waits in it; the kernel's default takes its place. ENOENT where
  /// only the default stands.
  public mutating func deleteQdisc(on link: InterfaceIndex, parent: TrafficHandle = .root) {
    append(.deleteQdisc, [], tcmsg(link, parent: parent))
  }

  /// An existing class keeps its parent.
  public mutating func setClass(_ trafficClass: TrafficClass, _ mode: TrafficMode = .replace) {
    let header = tcmsg(trafficClass.link, handle: trafficClass.handle, parent: trafficClass.parent)
    append(.newClass, mode.flags, header) { batch in
      batch.put(AttributeType(TCA_KIND), trafficClass.discipline.kind)
      trafficClass.discipline.putOptions(&batch)
    }
  }

  /// Takes a class away with its queue; refused (EBUSY) while it has classes below it.
  public mutating func deleteClass(_ handle: TrafficHandle, on link: InterfaceIndex) {
    append(.deleteClass, [], tcmsg(link, handle: handle))
  }
}

extension NetlinkSocket {
  /// Every qdisc of the namespace, or of one interface, the kernel's defaults (handle 0) among them.
  public func qdiscs(of link: InterfaceIndex? = nil) throws(KernelError) -> [Counted<Qdisc>] {
    let found = try dump(.getQdisc, tcmsg(link ?? 0)) { message in
      Qdisc(message).map { Counted($0, TrafficStatistics(message)) }
    }
    guard let link else { return found }
    return found.filter { $0.subject.link == link }  // the kernel dumps all interfaces whatever is asked
  }

  /// Every class of an interface. The kernel lists them by interface only.
  public func classes(of link: InterfaceIndex) throws(KernelError) -> [Counted<TrafficClass>] {
    try dump(.getClass, tcmsg(link)) { message in
      TrafficClass(message).map { Counted($0, TrafficStatistics(message)) }
    }
  }

  /// Every class of the namespace.
  public func classes() throws(KernelError) -> [Counted<TrafficClass>] {
    var found: [Counted<TrafficClass>] = []
    for link in try links() { found += try classes(of: link.index) }
    return found
  }
}
