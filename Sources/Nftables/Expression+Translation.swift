internal import CLinux
public import NetTypes

/// How NAT chooses and keeps what it translates to (NF_NAT_RANGE_* of linux/netfilter/nf_nat.h).
public struct TranslationFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  private init(_ bit: Int32) { rawValue = UInt32(bit) }

  /// Ports at random, by hash of source and destination with a secret.
  public static let random = TranslationFlags(1 << 2)
  /// One client gets the same address for all its connections.
  public static let persistent = TranslationFlags(1 << 3)
  public static let fullyRandom = TranslationFlags(1 << 4)
  /// Prefix to prefix: host bits stay (NETMAP).
  public static let prefix = TranslationFlags(1 << 6)

  /// The kernel adds by itself what follows from the registers: MAP_IPS, PROTO_SPECIFIED. Nobody has to ask for them.
  private static let derived: UInt32 = 1 << 0 | 1 << 1
  init(shown flags: UInt32) { rawValue = flags & ~Self.derived }
}

/// Where an expression finds both ends of a range. The kernel shows a single value as a range from it to itself.
public struct RegisterRange: Hashable, Sendable {
  public var first: Register
  public var last: Register

  public init(_ first: Register, through last: Register? = nil) {
    self.first = first
    self.last = last ?? first
  }

  fileprivate func write(to writer: ExpressionWriter, _ firstAttribute: Int, _ lastAttribute: Int) {
    writer.set(firstAttribute, first)
    if last != first { writer.set(lastAttribute, last) }
  }

  fileprivate init?(_ reader: ExpressionReader, _ firstAttribute: Int, _ lastAttribute: Int) {
    guard let first = reader.register(firstAttribute) else { return nil }
    self.init(first, through: reader.register(lastAttribute))
  }
}

extension Expression {
  /// SNAT (postrouting, input) or DNAT (prerouting, output).
  public struct AddressTranslation: ExpressionKind {
    /// enum nft_nat_types
    public enum Side: UInt32, Hashable, Sendable {
      case source = 0
      case destination = 1
    }
    public var side: Side
    public var family: AddressFamily
    public var address: RegisterRange?
    public var port: RegisterRange?
    public var flags: TranslationFlags

    public init(
      _ side: Side, _ family: AddressFamily, address: RegisterRange?, port: RegisterRange? = nil,
      flags: TranslationFlags = []
    ) {
      self.side = side
      self.family = family
      self.address = address
      self.port = port
      self.flags = flags
    }
  }

  /// SNAT to the address of the interface that the packet leaves by.
  public struct Masquerade: ExpressionKind {
    public var port: RegisterRange?
    public var flags: TranslationFlags

    public init(port: RegisterRange? = nil, flags: TranslationFlags = []) {
      self.port = port
      self.flags = flags
    }
  }

  /// DNAT to the machine itself.
  public struct Redirect: ExpressionKind {
    public var port: RegisterRange?
    public var flags: TranslationFlags

    public init(port: RegisterRange? = nil, flags: TranslationFlags = []) {
      self.port = port
      self.flags = flags
    }
  }

  /// Hands the packet to a local socket without changing its addresses (prerouting, IP_TRANSPARENT).
  public struct TransparentProxy: ExpressionKind {
    /// nil: whichever the packet has.
    public var family: AddressFamily?
    public var address: Register?
    public var port: Register?

    public init(family: AddressFamily? = nil, address: Register? = nil, port: Register?) {
      self.family = family
      self.address = address
      self.port = port
    }
  }
}

extension Expression.AddressTranslation {
  static let name = "nat"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_NAT_TYPE, side.rawValue)
    writer.set(NFTNL_EXPR_NAT_FAMILY, UInt32(family.netfilterNumber))
    address?.write(to: writer, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFTNL_EXPR_NAT_REG_ADDR_MAX)
    port?.write(to: writer, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFTNL_EXPR_NAT_REG_PROTO_MAX)
    if !flags.isEmpty { writer.set(NFTNL_EXPR_NAT_FLAGS, flags.rawValue) }
  }

  init?(_ reader: ExpressionReader) {
    guard let side = reader.word(NFTNL_EXPR_NAT_TYPE).flatMap(Side.init(rawValue:)),
      let family = reader.word(NFTNL_EXPR_NAT_FAMILY).flatMap(AddressFamily.init(netfilterNumber:))
    else { return nil }
    self.init(
      side, family, address: RegisterRange(reader, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFTNL_EXPR_NAT_REG_ADDR_MAX),
      port: RegisterRange(reader, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFTNL_EXPR_NAT_REG_PROTO_MAX),
      flags: TranslationFlags(shown: reader.word(NFTNL_EXPR_NAT_FLAGS) ?? 0))
  }
}

extension Expression.Masquerade {
  static let name = "masq"

  func write(to writer: ExpressionWriter) {
    port?.write(to: writer, NFTNL_EXPR_MASQ_REG_PROTO_MIN, NFTNL_EXPR_MASQ_REG_PROTO_MAX)
    if !flags.isEmpty { writer.set(NFTNL_EXPR_MASQ_FLAGS, flags.rawValue) }
  }

  init?(_ reader: ExpressionReader) {
    self.init(
      port: RegisterRange(reader, NFTNL_EXPR_MASQ_REG_PROTO_MIN, NFTNL_EXPR_MASQ_REG_PROTO_MAX),
      flags: TranslationFlags(shown: reader.word(NFTNL_EXPR_MASQ_FLAGS) ?? 0))
  }
}

extension Expression.Redirect {
  static let name = "redir"

  func write(to writer: ExpressionWriter) {
    port?.write(to: writer, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFTNL_EXPR_REDIR_REG_PROTO_MAX)
    if !flags.isEmpty { writer.set(NFTNL_EXPR_REDIR_FLAGS, flags.rawValue) }
  }

  init?(_ reader: ExpressionReader) {
    self.init(
      port: RegisterRange(reader, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFTNL_EXPR_REDIR_REG_PROTO_MAX),
      flags: TranslationFlags(shown: reader.word(NFTNL_EXPR_REDIR_FLAGS) ?? 0))
  }
}

extension Expression.TransparentProxy {
  static let name = "tproxy"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_TPROXY_FAMILY, UInt32(family?.netfilterNumber ?? TableFamily.any.rawValue))
    if let address { writer.set(NFTNL_EXPR_TPROXY_REG_ADDR, address) }
    if let port { writer.set(NFTNL_EXPR_TPROXY_REG_PORT, port) }
  }

  init?(_ reader: ExpressionReader) {
    self.init(
      family: reader.word(NFTNL_EXPR_TPROXY_FAMILY).flatMap(AddressFamily.init(netfilterNumber:)),
      address: reader.register(NFTNL_EXPR_TPROXY_REG_ADDR), port: reader.register(NFTNL_EXPR_TPROXY_REG_PORT))
  }
}

extension AddressFamily {
  /// NFPROTO_IPV4 or NFPROTO_IPV6, which are AF_INET and AF_INET6.
  var netfilterNumber: UInt8 { self == .ipv4 ? TableFamily.ipv4.rawValue : TableFamily.ipv6.rawValue }

  init?(netfilterNumber: some BinaryInteger) {
    switch UInt8(truncatingIfNeeded: netfilterNumber) {
    case TableFamily.ipv4.rawValue: self = .ipv4
    case TableFamily.ipv6.rawValue: self = .ipv6
    default: return nil
    }
  }
}
