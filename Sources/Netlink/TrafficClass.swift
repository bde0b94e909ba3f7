internal import CLinux

/// A class of a classful qdisc (`tc class`). The qdisc that queues for it is the one whose parent is its handle.
public struct TrafficClass: Hashable, Sendable {
  public var link: InterfaceIndex
  public var handle: TrafficHandle
  /// The class it borrows from, or its qdisc; the kernel shows `root` for a class that hangs directly in its qdisc.
  public var parent: TrafficHandle
  public var discipline: ClassDiscipline

  public init(
    on link: InterfaceIndex, _ discipline: ClassDiscipline, handle: TrafficHandle, parent: TrafficHandle
  ) {
    self.link = link
    self.handle = handle
    self.parent = parent
    self.discipline = discipline
  }

  /// The same with its numbers rounded to the kernel's units and its parent as the kernel shows it: what reads back.
  public var kept: TrafficClass {
    var kept = self
    if parent.minor == 0 { kept.parent = .root }
    if case .htb(let htb) = discipline { kept.discipline = .htb(htb.kept) }
    return kept
  }
}

/// The options of a class, by the kind of its qdisc.
public enum ClassDiscipline: Hashable, Sendable {
  case htb(HTBClass)
  /// Of a qdisc whose classes this module does not write (`mq`, `tbf`, `fq_codel`).
  case other(kind: String)

  public var kind: String {
    switch self {
    case .htb: "htb"
    case .other(let kind): kind
    }
  }

  func putOptions(_ batch: inout MessageBatch) {
    guard case .htb(let htb) = self else { return }
    batch.nest(AttributeType(TCA_OPTIONS), flagged: false) { htb.put(&$0) }
  }
}

extension TrafficClass {
  init?(_ message: Message) {
    guard let header = message.header(as: tcmsg.self) else { return nil }
    var kind = ""
    var options: Attribute?
    for attribute in message.attributes(after: tcmsg.self) {
      switch Int(attribute.type.rawValue) {
      case TCA_KIND: kind = attribute.string
      case TCA_OPTIONS: options = attribute
      default: break
      }
    }
    let htb = kind == "htb" ? options.flatMap(HTBClass.init) : nil
    self.init(
      on: InterfaceIndex(rawValue: UInt32(bitPattern: header.tcm_ifindex)),
      htb.map(ClassDiscipline.htb) ?? .other(kind: kind), handle: TrafficHandle(rawValue: header.tcm_handle),
      parent: TrafficHandle(rawValue: header.tcm_parent))
  }
}
