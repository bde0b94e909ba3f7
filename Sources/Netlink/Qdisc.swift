internal import CLinux

/// A queueing discipline on an interface (`tc qdisc`): what is asked for, and what the kernel answers. Counters come
/// beside it in `Counted`, so that a qdisc read can be compared with the one wanted.
public struct Qdisc: Hashable, Sendable {
  public var link: InterfaceIndex
  /// `none` lets the kernel choose; then nothing can be hung below it by name.
  public var handle: TrafficHandle
  /// `root`, `ingress`, or the class it queues for.
  public var parent: TrafficHandle
  public var discipline: Discipline

  public init(
    on link: InterfaceIndex, _ discipline: Discipline, handle: TrafficHandle = .none, parent: TrafficHandle = .root
  ) {
    self.link = link
    self.handle = handle
    self.parent = parent
    self.discipline = discipline
  }

  /// The same with its numbers rounded to the kernel's units. A kernel that was given `self` reads back `self.kept`.
  public var kept: Qdisc {
    var kept = self
    kept.discipline = discipline.kept
    return kept
  }
}

/// How a qdisc orders, delays and drops.
public enum Discipline: Hashable, Sendable {
  /// Classes with a rate each that borrow from each other.
  case htb(HTB)
  /// One rate for all.
  case tbf(TokenBucket)
  /// First in, first out; most packets that wait. The limit is always written: left out, it is the interface's
  /// `txqueuelen`.
  case pfifo(packets: UInt32)
  /// First in, first out; most bytes that wait.
  case bfifo(bytes: UInt32)
  case codel(CoDel)
  case fqCoDel(FairCoDel)
  /// No queue: every packet goes out at once. The default of veth and bridge; setting it as root undoes every other.
  case noqueue
  /// The kernel's root of interfaces with several queues.
  case mq
  /// Where filters of arriving packets hang; parent and place of both are fixed.
  case ingress
  case clsact
  /// One that this module does not know: data, not an error. Its options stay with the kernel.
  case other(kind: String)

  /// The name as the kernel knows it (TCA_KIND).
  public var kind: String {
    switch self {
    case .htb: "htb"
    case .tbf: "tbf"
    case .pfifo: "pfifo"
    case .bfifo: "bfifo"
    case .codel: "codel"
    case .fqCoDel: "fq_codel"
    case .noqueue: "noqueue"
    case .mq: "mq"
    case .ingress: "ingress"
    case .clsact: "clsact"
    case .other(let kind): kind
    }
  }

  /// As the kernel reads it back; see `Qdisc.kept`.
  public var kept: Discipline {
    switch self {
    case .tbf(let bucket): .tbf(bucket.kept)
    case .codel(let codel): .codel(codel.kept)
    case .fqCoDel(let codel): .fqCoDel(codel.kept)
    default: self
    }
  }
}

// MARK: - Coding

extension Discipline {
  /// - Parameter options: TCA_OPTIONS; nil where the kernel sent none.
  init(kind: String, options: Attribute?) {
    self = Self.decode(kind, options) ?? .other(kind: kind)
  }

  /// nil: a kind we do not know, or options we cannot read.
  private static func decode(_ kind: String, _ options: Attribute?) -> Discipline? {
    switch kind {
    case "htb": options.flatMap(HTB.init).map(Discipline.htb)
    case "tbf": options.flatMap(TokenBucket.init).map(Discipline.tbf)
    case "pfifo": options?.structure(tc_fifo_qopt.self).map { .pfifo(packets: $0.limit) }
    case "bfifo": options?.structure(tc_fifo_qopt.self).map { .bfifo(bytes: $0.limit) }
    case "codel": options.map { .codel(CoDel($0)) }
    case "fq_codel": options.map { .fqCoDel(FairCoDel($0)) }
    case "noqueue": .noqueue
    case "mq": .mq
    case "ingress": .ingress
    case "clsact": .clsact
    default: nil
    }
  }

  func putOptions(_ batch: inout MessageBatch) {
    let options = AttributeType(TCA_OPTIONS)
    switch self {
    case .htb(let htb): batch.nest(options, flagged: false) { htb.put(&$0) }
    case .tbf(let bucket): batch.nest(options, flagged: false) { bucket.put(&$0) }
    case .pfifo(let limit), .bfifo(let limit): batch.put(options, structure: tc_fifo_qopt(limit: limit))
    case .codel(let codel): batch.nest(options, flagged: false) { codel.put(&$0) }
    case .fqCoDel(let codel): batch.nest(options, flagged: false) { codel.put(&$0) }
    case .noqueue, .mq, .ingress, .clsact, .other: break
    }
  }
}

extension Qdisc {
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
    self.init(
      on: InterfaceIndex(rawValue: UInt32(bitPattern: header.tcm_ifindex)), Discipline(kind: kind, options: options),
      handle: TrafficHandle(rawValue: header.tcm_handle), parent: TrafficHandle(rawValue: header.tcm_parent))
  }
}

extension tcmsg {
  init(_ link: InterfaceIndex, handle: TrafficHandle = .none, parent: TrafficHandle = .none) {
    self.init()
    tcm_ifindex = Int32(bitPattern: link.rawValue)
    tcm_handle = handle.rawValue
    tcm_parent = parent.rawValue
  }
}
