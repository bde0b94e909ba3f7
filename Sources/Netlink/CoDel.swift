internal import CLinux

/// The qdisc `codel` (RFC 8289): drops or marks by how long packets have waited, not by how many wait.
public struct CoDel: Hashable, Sendable {
  /// Most packets that wait.
  public var limit: UInt32 = 1000
  /// Waiting time that is still good.
  public var target: Duration = .milliseconds(5)
  /// How long the target must have been exceeded before packets are dropped: the longest round trip expected.
  public var interval: Duration = .milliseconds(100)
  /// Mark instead of drop where the packet allows it (RFC 3168).
  public var marks = false
  /// Mark every packet that has waited longer than this.
  public var markThreshold: Duration?

  public init() {}

  public var kept: CoDel {
    var kept = self
    kept.target = target.keptByCoDel
    kept.interval = interval.keptByCoDel
    kept.markThreshold = markThreshold?.keptByCoDel
    return kept
  }
}

/// The qdisc `fq_codel` (RFC 8290): a CoDel queue for each of many flows, served in turn.
public struct FairCoDel: Hashable, Sendable {
  /// Most packets that wait, all flows together.
  public var limit: UInt32 = 10_240
  /// Number of queues that flows are hashed into. Fixed once the qdisc stands: the kernel refuses a request that names
  /// it again, so the kernel's default is never sent.
  public var flows: UInt32 = defaultFlows
  public var target: Duration = .milliseconds(5)
  public var interval: Duration = .milliseconds(100)
  /// Mark instead of drop where the packet allows it (RFC 3168).
  public var marks = true
  public var markThreshold: Duration?
  /// Bytes of one flow's turn.
  public var quantum: UInt32 = 1514
  /// Most bytes of memory, all flows together.
  public var memoryLimit: UInt32 = 32 << 20

  /// fq_codel_init of net/sched/sch_fq_codel.c.
  private static let defaultFlows: UInt32 = 1024

  public init() {}

  public var kept: FairCoDel {
    var kept = self
    kept.target = target.keptByCoDel
    kept.interval = interval.keptByCoDel
    kept.markThreshold = markThreshold?.keptByCoDel
    return kept
  }
}

// MARK: - Coding

extension CoDel {
  init(_ options: Attribute) {
    self.init()
    for attribute in options.nested {
      switch Int(attribute.type.rawValue) {
      case TCA_CODEL_LIMIT: limit = attribute.integer() ?? limit
      case TCA_CODEL_TARGET: target = attribute.microseconds ?? target
      case TCA_CODEL_INTERVAL: interval = attribute.microseconds ?? interval
      case TCA_CODEL_ECN: marks = attribute.integer(UInt32.self) != 0
      case TCA_CODEL_CE_THRESHOLD: markThreshold = attribute.microseconds
      default: break
      }
    }
  }

  func put(_ batch: inout MessageBatch) {
    batch.put(AttributeType(TCA_CODEL_LIMIT), limit)
    batch.put(AttributeType(TCA_CODEL_INTERVAL), interval.microseconds)
    batch.put(AttributeType(TCA_CODEL_TARGET), target.microseconds)
    batch.put(AttributeType(TCA_CODEL_ECN), marks ? 1 : UInt32(0))
    if let markThreshold { batch.put(AttributeType(TCA_CODEL_CE_THRESHOLD), markThreshold.microseconds) }
  }
}

extension FairCoDel {
  init(_ options: Attribute) {
    self.init()
    for attribute in options.nested {
      switch Int(attribute.type.rawValue) {
      case TCA_FQ_CODEL_LIMIT: limit = attribute.integer() ?? limit
      case TCA_FQ_CODEL_FLOWS: flows = attribute.integer() ?? flows
      case TCA_FQ_CODEL_TARGET: target = attribute.microseconds ?? target
      case TCA_FQ_CODEL_INTERVAL: interval = attribute.microseconds ?? interval
      case TCA_FQ_CODEL_ECN: marks = attribute.integer(UInt32.self) != 0
      case TCA_FQ_CODEL_CE_THRESHOLD: markThreshold = attribute.microseconds
      case TCA_FQ_CODEL_QUANTUM: quantum = attribute.integer() ?? quantum
      case TCA_FQ_CODEL_MEMORY_LIMIT: memoryLimit = attribute.integer() ?? memoryLimit
      default: break
      }
    }
  }

  func put(_ batch: inout MessageBatch) {
    batch.put(AttributeType(TCA_FQ_CODEL_LIMIT), limit)
    if flows != Self.defaultFlows { batch.put(AttributeType(TCA_FQ_CODEL_FLOWS), flows) }
    batch.put(AttributeType(TCA_FQ_CODEL_QUANTUM), quantum)
    batch.put(AttributeType(TCA_FQ_CODEL_INTERVAL), interval.microseconds)
    batch.put(AttributeType(TCA_FQ_CODEL_TARGET), target.microseconds)
    batch.put(AttributeType(TCA_FQ_CODEL_ECN), marks ? 1 : UInt32(0))
    if let markThreshold { batch.put(AttributeType(TCA_FQ_CODEL_CE_THRESHOLD), markThreshold.microseconds) }
    batch.put(AttributeType(TCA_FQ_CODEL_MEMORY_LIMIT), memoryLimit)
  }
}

extension Attribute {
  fileprivate var microseconds: Duration? { integer(UInt32.self).map { .microseconds(Int64($0)) } }
}

extension Duration {
  /// Whole microseconds, between 0 and what 32 bits hold.
  fileprivate var microseconds: UInt32 {
    guard components.seconds < 5000 else { return .max }
    return UInt32(clamping: components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000)
  }

  /// CoDel's clock ticks in 1024 ns (CODEL_SHIFT of the kernel's net/codel.h) and answers in whole microseconds: 5 ms
  /// come back as 4.999.
  fileprivate var keptByCoDel: Duration {
    let ticks = (UInt64(microseconds) * 1000) >> 10
    return .microseconds(Int64(clamping: (ticks << 10) / 1000))
  }
}
