internal import CLinux

/// A qdisc or class as read, with its counters at that moment.
public struct Counted<Subject: Hashable & Sendable>: Hashable, Sendable {
  public var subject: Subject
  public var statistics: TrafficStatistics

  public init(_ subject: Subject, _ statistics: TrafficStatistics) {
    self.subject = subject
    self.statistics = statistics
  }
}

/// Counters of a qdisc or class since it was made (linux/gen_stats.h, TCA_STATS2).
public struct TrafficStatistics: Hashable, Sendable {
  /// Sent on; link-layer headers included, of an aggregated packet those of all its segments.
  public var bytes: UInt64 = 0
  /// An aggregated packet counts as its segments.
  public var packets: UInt64 = 0
  public var drops: UInt32 = 0
  /// How often something had to wait for its rate.
  public var overlimits: UInt32 = 0
  public var requeues: UInt32 = 0
  /// What waits now.
  public var backlogBytes: UInt32 = 0
  public var backlogPackets: UInt32 = 0
  /// Of classes of HTB only.
  public var htb: HTBCounters?
  /// Of the qdisc HTB only: packets that passed unshaped because no class took them.
  public var directPackets: UInt32?

  public init() {}
}

/// What a class of HTB lent and borrowed (struct tc_htb_xstats).
public struct HTBCounters: Hashable, Sendable {
  /// Packets sent on its own guaranteed rate, or lent to classes below.
  public var lends: UInt32
  /// Packets sent on its parent's.
  public var borrows: UInt32
  /// What it may send at once now, in ticks of 64 ns of its rate; below 0: it must wait.
  public var tokens: Int32
  /// The same of its ceil.
  public var ceilTokens: Int32

  public init(lends: UInt32, borrows: UInt32, tokens: Int32, ceilTokens: Int32) {
    self.lends = lends
    self.borrows = borrows
    self.tokens = tokens
    self.ceilTokens = ceilTokens
  }
}

extension TrafficStatistics {
  init(_ message: Message) {
    self.init()
    var kind = ""
    for attribute in message.attributes(after: tcmsg.self) {
      switch Int(attribute.type.rawValue) {
      case TCA_KIND: kind = attribute.string
      case TCA_OPTIONS: if kind == "htb" { directPackets = Self.directPackets(attribute) }
      case TCA_STATS2: for counter in attribute.nested { read(counter, of: kind) }
      default: break
      }
    }
  }

  private mutating func read(_ counter: Attribute, of kind: String) {
    switch Int(counter.type.rawValue) {
    case TCA_STATS_BASIC:
      guard let basic = counter.structure(gnet_stats_basic.self) else { return }
      bytes = basic.bytes
      packets = max(packets, UInt64(basic.packets))
    case TCA_STATS_PKT64:  // sent beside the other once 32 bits are too few
      packets = counter.integer() ?? packets
    case TCA_STATS_QUEUE:
      guard let queue = counter.structure(gnet_stats_queue.self) else { return }
      drops = queue.drops
      overlimits = queue.overlimits
      requeues = queue.requeues
      backlogBytes = queue.backlog
      backlogPackets = queue.qlen
    case TCA_STATS_APP:
      if kind == "htb", let own = counter.structure(tc_htb_xstats.self) {
        htb = HTBCounters(lends: own.lends, borrows: own.borrows, tokens: own.tokens, ceilTokens: own.ctokens)
      }
    default: break
    }
  }

  private static func directPackets(_ options: Attribute) -> UInt32? {
    for attribute in options.nested where attribute.type == AttributeType(TCA_HTB_INIT) {
      return attribute.structure(tc_htb_glob.self)?.direct_pkts
    }
    return nil
  }
}
