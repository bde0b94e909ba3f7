internal import CLinux

/// What the stack knows about a packet besides its bytes (enum nft_meta_keys).
public struct MetaKey: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  private init(_ key: nft_meta_keys) { rawValue = key.rawValue }

  /// Bytes of the packet.
  public static let length = MetaKey(NFT_META_LEN)
  /// EtherType, in network order.
  public static let etherType = MetaKey(NFT_META_PROTOCOL)
  /// The class of traffic control; can be set.
  public static let priority = MetaKey(NFT_META_PRIORITY)
  /// The firewall mark; can be set.
  public static let mark = MetaKey(NFT_META_MARK)
  public static let inputInterface = MetaKey(NFT_META_IIF)
  public static let outputInterface = MetaKey(NFT_META_OIF)
  public static let inputInterfaceName = MetaKey(NFT_META_IIFNAME)
  public static let outputInterfaceName = MetaKey(NFT_META_OIFNAME)
  /// Who owns the socket that sent it (output and postrouting).
  public static let socketUser = MetaKey(NFT_META_SKUID)
  public static let socketGroup = MetaKey(NFT_META_SKGID)
  /// Lets `nft monitor trace` follow the packet; can be set only.
  public static let trace = MetaKey(NFT_META_NFTRACE)
  /// NFPROTO_IPV4 or NFPROTO_IPV6, of a packet in a table of the family inet.
  public static let networkProtocol = MetaKey(NFT_META_NFPROTO)
  public static let transportProtocol = MetaKey(NFT_META_L4PROTO)
  public static let packetType = MetaKey(NFT_META_PKTTYPE)
  public static let random = MetaKey(NFT_META_PRANDOM)
}

extension Expression {
  public struct Meta: ExpressionKind {
    public var key: MetaKey
    public var transfer: Transfer

    public init(_ key: MetaKey, _ transfer: Transfer = .load(into: .first)) {
      self.key = key
      self.transfer = transfer
    }
  }

  /// What the routing decision says (enum nft_rt_keys).
  public struct RouteInformation: ExpressionKind {
    public struct Key: RawRepresentable, Hashable, Sendable {
      public var rawValue: UInt32
      public init(rawValue: UInt32) { self.rawValue = rawValue }
      public static let nexthopIPv4 = Key(rawValue: NFT_RT_NEXTHOP4.rawValue)
      public static let nexthopIPv6 = Key(rawValue: NFT_RT_NEXTHOP6.rawValue)
      /// The TCP segment size that the path's MTU leaves; host order, two bytes.
      public static let tcpSegmentSize = Key(rawValue: NFT_RT_TCPMSS.rawValue)
    }
    public var key: Key
    public var register: Register

    public init(_ key: Key, into register: Register = .first) {
      self.key = key
      self.register = register
    }
  }

  /// A look into the routing table for an address of the packet.
  public struct FIB: ExpressionKind {
    /// What is looked up, and with what (enum nft_fib_flags).
    public struct Subject: OptionSet, Hashable, Sendable {
      public let rawValue: UInt32
      public init(rawValue: UInt32) { self.rawValue = rawValue }
      public static let source = Subject(rawValue: NFTA_FIB_F_SADDR.rawValue)
      public static let destination = Subject(rawValue: NFTA_FIB_F_DADDR.rawValue)
      public static let mark = Subject(rawValue: NFTA_FIB_F_MARK.rawValue)
      public static let inputInterface = Subject(rawValue: NFTA_FIB_F_IIF.rawValue)
      public static let outputInterface = Subject(rawValue: NFTA_FIB_F_OIF.rawValue)
      /// Only whether there is a route: the register gets 1 or 0, four bytes in host order.
      public static let presence = Subject(rawValue: NFTA_FIB_F_PRESENT.rawValue)
    }
    /// What comes back (enum nft_fib_result).
    public enum Result: UInt32, Hashable, Sendable {
      case outputInterface = 1
      case outputInterfaceName = 2
      /// RTN_LOCAL, RTN_UNICAST ...
      case addressType = 3
    }
    public var subject: Subject
    public var result: Result
    public var register: Register

    public init(_ subject: Subject, _ result: Result, into register: Register = .first) {
      self.subject = subject
      self.result = result
      self.register = register
    }
  }
}

extension Expression.Meta {
  static let name = "meta"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_META_KEY, key.rawValue)
    writer.set(transfer, into: NFTNL_EXPR_META_DREG, from: NFTNL_EXPR_META_SREG)
  }

  init?(_ reader: ExpressionReader) {
    guard let key = reader.word(NFTNL_EXPR_META_KEY),
      let transfer = reader.transfer(into: NFTNL_EXPR_META_DREG, from: NFTNL_EXPR_META_SREG)
    else { return nil }
    self.init(MetaKey(rawValue: key), transfer)
  }
}

extension Expression.RouteInformation {
  static let name = "rt"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_RT_KEY, key.rawValue)
    writer.set(NFTNL_EXPR_RT_DREG, register)
  }

  init?(_ reader: ExpressionReader) {
    guard let key = reader.word(NFTNL_EXPR_RT_KEY), let register = reader.register(NFTNL_EXPR_RT_DREG)
    else { return nil }
    self.init(Key(rawValue: key), into: register)
  }
}

extension Expression.FIB {
  static let name = "fib"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_FIB_DREG, register)
    writer.set(NFTNL_EXPR_FIB_RESULT, result.rawValue)
    writer.set(NFTNL_EXPR_FIB_FLAGS, subject.rawValue)
  }

  init?(_ reader: ExpressionReader) {
    guard let register = reader.register(NFTNL_EXPR_FIB_DREG),
      let result = reader.word(NFTNL_EXPR_FIB_RESULT).flatMap(Result.init(rawValue:)),
      let flags = reader.word(NFTNL_EXPR_FIB_FLAGS)
    else { return nil }
    self.init(Subject(rawValue: flags), result, into: register)
  }
}
