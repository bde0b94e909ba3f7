internal import CLinux

// Kinds that keep a state between packets.
extension Expression {
  /// Counts what gets this far.
  public struct Counter: ExpressionKind {
    public var packets: UInt64
    public var bytes: UInt64

    public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
      self.packets = packets
      self.bytes = bytes
    }
  }

  /// A token bucket: goes on while there are tokens (or, inverted, once there are none).
  public struct Limit: ExpressionKind {
    /// Seconds that a rate is given for.
    public enum Unit: UInt64, Hashable, Sendable {
      case second = 1
      case minute = 60
      case hour = 3600
      case day = 86400
      case week = 604800
    }

    /// What a token stands for (enum nft_limit_type).
    public enum Measure: UInt32, Hashable, Sendable {
      case packets = 0
      case bytes = 1
    }

    public var measure: Measure
    public var rate: UInt64
    public var unit: Unit
    /// Tokens that the bucket takes beyond one unit's worth. Not 0 for packets: the kernel would make 5 of it.
    public var burst: UInt32
    /// Lets pass what is beyond the rate.
    public var isOver: Bool

    public init(
      _ rate: UInt64, _ measure: Measure = .packets, per unit: Unit = .second, burst: UInt32, isOver: Bool = false
    ) {
      self.measure = measure
      self.rate = rate
      self.unit = unit
      self.burst = measure == .packets && burst == 0 ? Self.kernelBurst : burst
      self.isOver = isOver
    }

    /// NFT_LIMIT_PKT_BURST_DEFAULT of the kernel's net/netfilter/nft_limit.c.
    private static let kernelBurst: UInt32 = 5
  }

  /// Goes on while at most `count` connections are tracked (or, inverted, only when there are more).
  public struct ConnectionLimit: ExpressionKind {
    public var count: UInt32
    public var isOver: Bool

    public init(_ count: UInt32, isOver: Bool = false) {
      self.count = count
      self.isOver = isOver
    }
  }

  /// Goes on until so many bytes have passed (or, inverted, only after that).
  public struct Quota: ExpressionKind {
    public var bytes: UInt64
    public var isOver: Bool
    public var used: UInt64

    public init(_ bytes: UInt64, isOver: Bool = false, used: UInt64 = 0) {
      self.bytes = bytes
      self.isOver = isOver
      self.used = used
    }
  }

  /// Writes a line about the packet to the kernel's log, or sends it to a netlink group.
  public struct Log: ExpressionKind {
    /// At most 127 bytes (NF_LOG_PREFIXLEN).
    public var prefix: String
    /// nil: the kernel's log. That works only in the first network namespace (net.netfilter.nf_log_all_netns).
    public var group: UInt16?

    public init(prefix: String = "", group: UInt16? = nil) {
      self.prefix = prefix
      self.group = group
    }
  }
}

extension Expression.Counter {
  static let name = "counter"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_CTR_PACKETS, long: packets)
    writer.set(NFTNL_EXPR_CTR_BYTES, long: bytes)
  }

  init?(_ reader: ExpressionReader) {
    guard let packets = reader.long(NFTNL_EXPR_CTR_PACKETS), let bytes = reader.long(NFTNL_EXPR_CTR_BYTES)
    else { return nil }
    self.init(packets: packets, bytes: bytes)
  }

  var canonical: Self { Self() }
}

extension Expression.Limit {
  static let name = "limit"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_LIMIT_RATE, long: rate)
    writer.set(NFTNL_EXPR_LIMIT_UNIT, long: unit.rawValue)
    writer.set(NFTNL_EXPR_LIMIT_BURST, burst)
    writer.set(NFTNL_EXPR_LIMIT_TYPE, measure.rawValue)
    writer.set(NFTNL_EXPR_LIMIT_FLAGS, isOver ? NFT_LIMIT_F_INV.rawValue : 0)
  }

  init?(_ reader: ExpressionReader) {
    guard let rate = reader.long(NFTNL_EXPR_LIMIT_RATE), let burst = reader.word(NFTNL_EXPR_LIMIT_BURST),
      let unit = reader.long(NFTNL_EXPR_LIMIT_UNIT).flatMap(Unit.init(rawValue:)),
      let measure = Measure(rawValue: reader.word(NFTNL_EXPR_LIMIT_TYPE) ?? 0)
    else { return nil }
    let flags = reader.word(NFTNL_EXPR_LIMIT_FLAGS) ?? 0
    self.init(rate, measure, per: unit, burst: burst, isOver: flags & NFT_LIMIT_F_INV.rawValue != 0)
  }
}

extension Expression.ConnectionLimit {
  static let name = "connlimit"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_CONNLIMIT_COUNT, count)
    writer.set(NFTNL_EXPR_CONNLIMIT_FLAGS, isOver ? NFT_CONNLIMIT_F_INV.rawValue : 0)
  }

  init?(_ reader: ExpressionReader) {
    guard let count = reader.word(NFTNL_EXPR_CONNLIMIT_COUNT) else { return nil }
    let flags = reader.word(NFTNL_EXPR_CONNLIMIT_FLAGS) ?? 0
    self.init(count, isOver: flags & NFT_CONNLIMIT_F_INV.rawValue != 0)
  }
}

extension Expression.Quota {
  static let name = "quota"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_QUOTA_BYTES, long: bytes)
    writer.set(NFTNL_EXPR_QUOTA_CONSUMED, long: used)
    writer.set(NFTNL_EXPR_QUOTA_FLAGS, isOver ? NFT_QUOTA_F_INV.rawValue : 0)
  }

  init?(_ reader: ExpressionReader) {
    guard let bytes = reader.long(NFTNL_EXPR_QUOTA_BYTES) else { return nil }
    let flags = reader.word(NFTNL_EXPR_QUOTA_FLAGS) ?? 0
    self.init(
      bytes, isOver: flags & NFT_QUOTA_F_INV.rawValue != 0, used: reader.long(NFTNL_EXPR_QUOTA_CONSUMED) ?? 0)
  }

  var canonical: Self { Self(bytes, isOver: isOver) }
}

extension Expression.Log {
  static let name = "log"

  func write(to writer: ExpressionWriter) {
    if !prefix.isEmpty { writer.set(NFTNL_EXPR_LOG_PREFIX, prefix) }
    if let group { writer.set(NFTNL_EXPR_LOG_GROUP, half: group) }
  }

  init?(_ reader: ExpressionReader) {
    self.init(prefix: reader.text(NFTNL_EXPR_LOG_PREFIX) ?? "", group: reader.half(NFTNL_EXPR_LOG_GROUP))
  }
}
