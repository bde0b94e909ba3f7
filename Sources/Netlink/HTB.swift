internal import CLinux

/// The qdisc of a hierarchical token bucket (kernel: net/sched/sch_htb.c). It cannot be changed in place.
public struct HTB: Hashable, Sendable {
  /// Minor of the class for packets whose priority names none; 0, or no such leaf: they pass unshaped.
  public var defaultClass: UInt16
  /// `r2q`: quantum of a class = its rate / r2q, where the class gives none.
  public var rateToQuantum: UInt32
  /// Most packets of the unshaped queue. 1000 is what veth has as `txqueuelen`.
  public var directQueueLength: UInt32

  public init(defaultClass: UInt16 = 0, rateToQuantum: UInt32 = 10, directQueueLength: UInt32 = 1000) {
    self.defaultClass = defaultClass
    self.rateToQuantum = rateToQuantum
    self.directQueueLength = directQueueLength
  }
}

/// A class of HTB: is guaranteed its rate, and may borrow from its parent up to its ceil.
public struct HTBClass: Hashable, Sendable {
  public var rate: DataRate
  public var ceil: DataRate
  /// Bytes that may go at once after a pause, beyond the rate.
  public var burst: UInt32
  /// The same beyond the ceil.
  public var ceilBurst: UInt32
  /// Bytes that the class may lend itself before another of the same priority has its turn. Classes share what is left
  /// over in proportion to it.
  public var quantum: UInt32
  /// 0...7. What is left over is offered to the smallest number first. Rates are guaranteed whatever the priority.
  public var priority: UInt32

  /// - Parameters:
  ///   - ceil: nil: the rate, so nothing is borrowed.
  ///   - burst: nil: `ShapingDefaults.burst` of the rate; `ceilBurst`: of the ceil.
  ///   - quantum: nil: what the kernel would choose with r2q 10. It is always sent, so that it reads back.
  public init(
    rate: DataRate, ceil: DataRate? = nil, burst: UInt32? = nil, ceilBurst: UInt32? = nil, quantum: UInt32? = nil,
    priority: UInt32 = 0
  ) {
    self.rate = rate
    self.ceil = ceil ?? rate
    self.burst = burst ?? ShapingDefaults.burst(rate: rate)
    self.ceilBurst = ceilBurst ?? ShapingDefaults.burst(rate: ceil ?? rate)
    self.quantum = quantum ?? Self.quantum(rate: rate)
    self.priority = priority
  }

  /// What htb_change_class takes where a class names no quantum: rate / r2q, between 1,000 and 200,000 bytes.
  public static func quantum(rate: DataRate, rateToQuantum: UInt32 = 10) -> UInt32 {
    UInt32(min(200_000, max(1_000, rate.bytesPerSecond / UInt64(max(1, rateToQuantum)))))
  }

  /// As the kernel reads it back: bursts in whole ticks of the rate, priority at most 7 (TC_HTB_NUMPRIO - 1).
  public var kept: HTBClass {
    var kept = self
    kept.burst = rate.kept(burst)
    kept.ceilBurst = ceil.kept(ceilBurst)
    kept.priority = min(priority, UInt32(TC_HTB_NUMPRIO) - 1)
    return kept
  }
}

// MARK: - Coding

extension HTB {
  init?(_ options: Attribute) {
    self.init()
    var found = false
    for attribute in options.nested {
      switch Int(attribute.type.rawValue) {
      case TCA_HTB_INIT:
        guard let fixed = attribute.structure(tc_htb_glob.self) else { return nil }
        found = true
        defaultClass = UInt16(truncatingIfNeeded: fixed.defcls)
        rateToQuantum = fixed.rate2quantum
      case TCA_HTB_DIRECT_QLEN: directQueueLength = attribute.integer() ?? 0
      default: break
      }
    }
    guard found else { return nil }
  }

  func put(_ batch: inout MessageBatch) {
    var fixed = tc_htb_glob()
    fixed.version = UInt32(TC_HTB_PROTOVER)
    fixed.rate2quantum = rateToQuantum
    fixed.defcls = UInt32(defaultClass)
    batch.put(AttributeType(TCA_HTB_INIT), structure: fixed)
    batch.put(AttributeType(TCA_HTB_DIRECT_QLEN), directQueueLength)
  }
}

extension HTBClass {
  init?(_ options: Attribute) {
    var parameters: tc_htb_opt?
    var (wideRate, wideCeil): (UInt64?, UInt64?)
    for attribute in options.nested {
      switch Int(attribute.type.rawValue) {
      case TCA_HTB_PARMS: parameters = attribute.structure(tc_htb_opt.self)
      case TCA_HTB_RATE64: wideRate = attribute.integer()
      case TCA_HTB_CEIL64: wideCeil = attribute.integer()
      default: break
      }
    }
    guard let parameters else { return nil }
    let rate = DataRate(parameters.rate, wide: wideRate)
    let ceil = DataRate(parameters.ceil, wide: wideCeil)
    self.init(
      rate: rate, ceil: ceil, burst: rate.bytes(inTicks: parameters.buffer),
      ceilBurst: ceil.bytes(inTicks: parameters.cbuffer), quantum: parameters.quantum, priority: parameters.prio)
  }

  func put(_ batch: inout MessageBatch) {
    var parameters = tc_htb_opt()
    parameters.rate = rate.specification
    parameters.ceil = ceil.specification
    parameters.buffer = rate.ticks(for: burst)
    parameters.cbuffer = ceil.ticks(for: ceilBurst)
    parameters.quantum = quantum
    parameters.prio = priority
    if rate.needs64Bits { batch.put(AttributeType(TCA_HTB_RATE64), rate.bytesPerSecond) }
    if ceil.needs64Bits { batch.put(AttributeType(TCA_HTB_CEIL64), ceil.bytesPerSecond) }
    batch.put(AttributeType(TCA_HTB_PARMS), structure: parameters)
  }
}
