/// A shape as the product speaks of it: a rate for what leaves an interface, and classes that share it. `plan` lowers it
/// to qdiscs and classes: one TBF where there are neither classes nor marks of congestion, otherwise
///
/// ```
///   1:      htb, default 1:2
///   1:1       the whole: rate = ceil = the shape's rate
///   1:2         what no class takes: guaranteed the rest of the rate, may borrow all     2:   bfifo
///   1:10        the first class                                                          10:  bfifo
///   1:11        the second                                                               11:  bfifo
/// ```
///
/// With `marksCongestion` the queues are `codel` instead. A shape without classes is an HTB then, too: a TBF that loses a
/// queue it was given has none at all (tbf_graft: noop_qdisc), and drops everything until it gets another.
///
/// A packet belongs to the class whose handle its priority holds; nftables sets it (`meta priority set 1:10`) at output,
/// forward or postrouting. Forwarding overwrites the priority from the packet's TOS before the forward hook, and it does
/// not survive a veth. Priorities that sockets set themselves are small numbers and name no class.
public struct TrafficShape: Hashable, Sendable {
  public var rate: DataRate
  /// Bytes, of every bucket; nil: `ShapingDefaults.burst`.
  public var burst: UInt32?
  /// Bytes that may wait, of every queue; nil: `ShapingDefaults.queueLimit`.
  public var limit: UInt32?
  /// Queues mark instead of dropping (RFC 3168) once packets have waited for a while: `codel` (RFC 8289).
  public var marksCongestion: Bool
  public var classes: [Class]
  /// Priority with which what no class takes borrows: the last, so that classes come first.
  public var unclassifiedPriority: UInt32 = 7

  public struct Class: Hashable, Sendable {
    public var name: String
    /// Guaranteed.
    public var rate: DataRate
    /// The most it gets when others leave something; nil: the whole rate of the shape.
    public var ceil: DataRate?
    /// 0...7: the smallest borrows first.
    public var priority: UInt32
    /// Bytes that may wait; nil: the shape's.
    public var limit: UInt32?

    public init(_ name: String, rate: DataRate, ceil: DataRate? = nil, priority: UInt32 = 0, limit: UInt32? = nil) {
      self.name = name
      self.rate = rate
      self.ceil = ceil
      self.priority = priority
      self.limit = limit
    }
  }

  public init(
    rate: DataRate, burst: UInt32? = nil, limit: UInt32? = nil, marksCongestion: Bool = false, classes: [Class] = []
  ) {
    self.rate = rate
    self.burst = burst
    self.limit = limit
    self.marksCongestion = marksCongestion
    self.classes = classes
  }
}

/// Why a shape cannot be had.
public enum TrafficShapeError: Error, Hashable, Sendable {
  case noRate
  case noRateOfClass(String)
  case classTwice(String)
  case ceilBelowRate(String)
  case ceilAboveShape(String)
  /// The classes are guaranteed more than there is.
  case overcommitted(guaranteed: DataRate, rate: DataRate)
  case priorityBeyond7(String)
  case tooManyClasses(most: Int)
}

extension TrafficShape {
  public static let qdisc = TrafficHandle(1)
  public static let whole = TrafficHandle(1, 1)
  /// Of what no class takes.
  public static let unclassified = TrafficHandle(1, 2)
  private static let firstClass: UInt16 = 0x10
  private static let mostClasses = 4096
  /// HTB refuses a rate of 0, so what no class takes has this where the classes are guaranteed everything: 8 kbit/s.
  private static let leastRate = DataRate(bytesPerSecond: 1000)

  /// The class by its place in `classes`: what nftables must set as priority.
  public static func handle(ofClassAt place: Int) -> TrafficHandle { TrafficHandle(1, firstClass + UInt16(place)) }

  public var handles: [String: TrafficHandle] {
    Dictionary(classes.enumerated().map { ($1.name, Self.handle(ofClassAt: $0)) }) { first, _ in first }
  }

  /// - Parameter mtu: of the interface, for the default bursts.
  public func plan(on link: InterfaceIndex, mtu: UInt32 = 1500) throws(TrafficShapeError) -> TrafficPlan {
    try check()
    guard !classes.isEmpty || marksCongestion else {
      let bucket = TokenBucket(
        rate: rate, burst: burst(rate, mtu), limit: limit ?? ShapingDefaults.queueLimit(rate: rate))
      return TrafficPlan(on: link, qdiscs: [Qdisc(on: link, .tbf(bucket), handle: Self.qdisc)])
    }
    let root = Qdisc(on: link, .htb(HTB(defaultClass: Self.unclassified.minor)), handle: Self.qdisc)
    var plan = TrafficPlan(on: link, qdiscs: [root])
    // The quantum of a class with classes below plays no part, and the kernel does not change it: a fixed one.
    plan.classes.append(
      TrafficClass(
        on: link, .htb(htbClass(rate, rate, priority: 0, quantum: 200_000, mtu)), handle: Self.whole,
        parent: Self.qdisc))
    let rest = DataRate(bytesPerSecond: rate.bytesPerSecond - guaranteed.bytesPerSecond)
    add(
      htbClass(max(rest, Self.leastRate), rate, priority: unclassifiedPriority, quantum: nil, mtu),
      Self.unclassified, limit: limit, mtu, to: &plan)
    for (place, one) in classes.enumerated() {
      add(
        htbClass(one.rate, one.ceil ?? rate, priority: one.priority, quantum: nil, mtu),
        Self.handle(ofClassAt: place), limit: one.limit ?? limit, mtu, to: &plan)
    }
    return plan
  }

  /// A class below the whole, and the queue of what waits in it.
  private func add(
    _ htb: HTBClass, _ handle: TrafficHandle, limit: UInt32?, _ mtu: UInt32, to plan: inout TrafficPlan
  ) {
    plan.classes.append(TrafficClass(on: plan.link, .htb(htb), handle: handle, parent: Self.whole))
    let bytes = limit ?? ShapingDefaults.queueLimit(rate: htb.rate, ceil: htb.ceil)
    let queue: Discipline =
      marksCongestion ? .codel(ShapingDefaults.codel(rate: htb.rate, bytes: bytes, mtu: mtu)) : .bfifo(bytes: bytes)
    plan.qdiscs.append(Qdisc(on: plan.link, queue, handle: TrafficHandle(handle.minor), parent: handle))
  }

  private func htbClass(
    _ rate: DataRate, _ ceil: DataRate, priority: UInt32, quantum: UInt32?, _ mtu: UInt32
  ) -> HTBClass {
    HTBClass(
      rate: rate, ceil: max(rate, ceil), burst: burst(rate, mtu), ceilBurst: burst(ceil, mtu), quantum: quantum,
      priority: priority)
  }

  private func burst(_ rate: DataRate, _ mtu: UInt32) -> UInt32 {
    burst ?? ShapingDefaults.burst(rate: rate, mtu: mtu)
  }

  /// What the classes are guaranteed together.
  private var guaranteed: DataRate {
    DataRate(
      bytesPerSecond: classes.reduce(0) { sum, one in
        let (next, overflow) = sum.addingReportingOverflow(one.rate.bytesPerSecond)
        return overflow ? .max : next
      })
  }

  private func check() throws(TrafficShapeError) {
    guard rate.bytesPerSecond > 0 else { throw .noRate }
    guard classes.count <= Self.mostClasses else { throw .tooManyClasses(most: Self.mostClasses) }
    var names: Set<String> = []
    for one in classes {
      guard names.insert(one.name).inserted else { throw .classTwice(one.name) }
      guard one.rate.bytesPerSecond > 0 else { throw .noRateOfClass(one.name) }
      guard one.priority <= 7 else { throw .priorityBeyond7(one.name) }
      if let ceil = one.ceil {
        guard ceil >= one.rate else { throw .ceilBelowRate(one.name) }
        guard ceil <= rate else { throw .ceilAboveShape(one.name) }
      }
    }
    guard guaranteed <= rate else { throw .overcommitted(guaranteed: guaranteed, rate: rate) }
  }
}

extension TrafficShapeError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .noRate: "the rate is below 8 bit/s"
    case .noRateOfClass(let name): "class \(name): the rate is below 8 bit/s"
    case .classTwice(let name): "two classes are called \(name)"
    case .ceilBelowRate(let name): "class \(name): the ceil is below the rate"
    case .ceilAboveShape(let name): "class \(name): the ceil is above the rate of the shape"
    case .overcommitted(let guaranteed, let rate):
      "the classes are guaranteed \(guaranteed) together, and the shape has \(rate)"
    case .priorityBeyond7(let name): "class \(name): the priority is above 7"
    case .tooManyClasses(let most): "more than \(most) classes"
    }
  }
}
