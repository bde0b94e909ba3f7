internal import CLinux

/// What conntrack knows about the packet's connection (enum nft_ct_keys).
public struct ConnectionKey: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  private init(_ key: nft_ct_keys) { rawValue = key.rawValue }

  /// `ConnectionState`, host order.
  public static let state = ConnectionKey(NFT_CT_STATE)
  /// One byte: 0 original, 1 reply.
  public static let direction = ConnectionKey(NFT_CT_DIRECTION)
  /// `ConntrackStatus`, host order.
  public static let status = ConnectionKey(NFT_CT_STATUS)
  /// Can be set.
  public static let mark = ConnectionKey(NFT_CT_MARK)
  /// Two bytes, host order. Can be set, before conntrack sees the packet.
  public static let zone = ConnectionKey(NFT_CT_ZONE)
  // Of the tuple of one direction.
  public static let transportProtocol = ConnectionKey(NFT_CT_PROTOCOL)
  public static let sourcePort = ConnectionKey(NFT_CT_PROTO_SRC)
  public static let destinationPort = ConnectionKey(NFT_CT_PROTO_DST)
  public static let sourceIPv4 = ConnectionKey(NFT_CT_SRC_IP)
  public static let destinationIPv4 = ConnectionKey(NFT_CT_DST_IP)
  public static let sourceIPv6 = ConnectionKey(NFT_CT_SRC_IP6)
  public static let destinationIPv6 = ConnectionKey(NFT_CT_DST_IP6)
  // Need net.netfilter.nf_conntrack_acct.
  public static let bytes = ConnectionKey(NFT_CT_BYTES)
  public static let packets = ConnectionKey(NFT_CT_PKTS)
}

/// enum ip_conntrack_dir
public enum ConnectionDirection: UInt8, Hashable, Sendable {
  case original = 0
  case reply = 1
}

/// How the packet stands to its connection (NF_CT_STATE_BIT of linux/netfilter/nf_conntrack_common.h).
public struct ConnectionState: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let invalid = ConnectionState(rawValue: 1)
  public static let established = ConnectionState(rawValue: 2)
  public static let related = ConnectionState(rawValue: 4)
  public static let new = ConnectionState(rawValue: 8)
  public static let untracked = ConnectionState(rawValue: 64)
}

extension Expression {
  public struct ConnectionTracking: ExpressionKind {
    public var key: ConnectionKey
    /// Of tuples and counts: which tuple. Of zones: for packets of which direction.
    public var direction: ConnectionDirection?
    public var transfer: Transfer

    public init(
      _ key: ConnectionKey, _ direction: ConnectionDirection? = nil, _ transfer: Transfer = .load(into: .first)
    ) {
      self.key = key
      self.direction = direction
      self.transfer = transfer
    }
  }

  /// Leaves the packet untracked: no state, no NAT. Before conntrack sees it (`ChainPriority.raw`).
  public struct NoTrack: ExpressionKind {
    public init() {}
  }
}

extension Expression.ConnectionTracking {
  static let name = "ct"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_CT_KEY, key.rawValue)
    if let direction { writer.set(NFTNL_EXPR_CT_DIR, byte: direction.rawValue) }
    writer.set(transfer, into: NFTNL_EXPR_CT_DREG, from: NFTNL_EXPR_CT_SREG)
  }

  init?(_ reader: ExpressionReader) {
    guard let key = reader.word(NFTNL_EXPR_CT_KEY),
      let transfer = reader.transfer(into: NFTNL_EXPR_CT_DREG, from: NFTNL_EXPR_CT_SREG)
    else { return nil }
    let direction = reader.byte(NFTNL_EXPR_CT_DIR).flatMap(ConnectionDirection.init(rawValue:))
    self.init(ConnectionKey(rawValue: key), direction, transfer)
  }
}

extension Expression.NoTrack {
  static let name = "notrack"
  func write(to writer: ExpressionWriter) {}
  init?(_ reader: ExpressionReader) { self.init() }
}
