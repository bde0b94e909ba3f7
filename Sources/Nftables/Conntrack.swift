internal import CLinux
public import NetTypes

/// What conntrack calls a connection in one direction (enum ctattr_tuple).
public struct ConntrackTuple: Hashable, Sendable {
  /// What tells connections of a protocol apart.
  public enum Detail: Hashable, Sendable {
    case ports(source: UInt16, destination: UInt16)
    case icmp(id: UInt16, type: UInt8, code: UInt8)
    /// Protocols of which conntrack knows nothing but the addresses.
    case none
  }

  public var source: IPAddress
  public var destination: IPAddress
  public var transport: TransportProtocol
  public var detail: Detail

  public init(_ source: IPAddress, _ destination: IPAddress, _ transport: TransportProtocol, _ detail: Detail) {
    self.source = source
    self.destination = destination
    self.transport = transport
    self.detail = detail
  }

  public var family: AddressFamily { source.family }
}

/// What has happened to a connection (enum ip_conntrack_status).
public struct ConntrackStatus: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  private init(_ status: ip_conntrack_status) { rawValue = status.rawValue }

  public static let expected = ConntrackStatus(IPS_EXPECTED)
  public static let seenReply = ConntrackStatus(IPS_SEEN_REPLY)
  /// Not to be forgotten early: traffic went both ways.
  public static let assured = ConntrackStatus(IPS_ASSURED)
  /// Its first packet has left the machine.
  public static let confirmed = ConntrackStatus(IPS_CONFIRMED)
  public static let sourceTranslated = ConntrackStatus(IPS_SRC_NAT)
  public static let destinationTranslated = ConntrackStatus(IPS_DST_NAT)
  public static let dying = ConntrackStatus(IPS_DYING)
}

/// Where a tracked TCP connection stands (enum tcp_conntrack).
public enum ConntrackTCPState: UInt8, Hashable, Sendable {
  case none = 0
  case synSent = 1
  case synReceived = 2
  case established = 3
  case finWait = 4
  case closeWait = 5
  case lastAcknowledge = 6
  case timeWait = 7
  case close = 8
  /// SYNs crossed.
  case synSentToo = 9
}

/// A tracked connection.
public struct ConntrackEntry: Hashable, Sendable {
  /// Packets and bytes of one direction; the kernel counts them only with net.netfilter.nf_conntrack_acct.
  public struct Count: Hashable, Sendable {
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0
  }

  /// As the first packet had it.
  public var original: ConntrackTuple
  /// What answers have: with NAT not simply the original turned around.
  public var reply: ConntrackTuple
  public var status: ConntrackStatus = []
  /// Seconds until it is forgotten. Not in `ended` events.
  public var timeout: UInt32?
  public var mark: UInt32 = 0
  public var zone: UInt16 = 0
  /// Of the original direction alone (`ct original zone set`).
  public var originalZone: UInt16 = 0
  /// Tells entries of the same tuple apart that followed each other.
  public var id: UInt32?
  public var originalCount: Count?
  public var replyCount: Count?
  /// TCP only.
  public var tcpState: ConntrackTCPState?

  public init(original: ConntrackTuple, reply: ConntrackTuple) {
    self.original = original
    self.reply = reply
  }
}
