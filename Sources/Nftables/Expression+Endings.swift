internal import CLinux
public import NetTypes

extension Expression {
  /// Drops the packet and tells its sender.
  public enum Reject: ExpressionKind {
    /// ICMP destination unreachable of the packet's own family, with a code of that family.
    case unreachable(code: UInt8)
    /// The same for IPv4 and IPv6.
    case unreachableAnyFamily(Reason)
    case tcpReset

    /// enum nft_reject_inet_code
    public enum Reason: UInt8, Hashable, Sendable {
      case noRoute = 0
      case port = 1
      case host = 2
      case prohibited = 3
    }
  }

  /// Sends the packet out by another interface, as it is or through the neighbour table (netdev).
  public struct Forward: ExpressionKind {
    /// Of an interface index, host order.
    public var device: Register
    /// The neighbour's.
    public var address: Register?
    public var family: AddressFamily?

    public init(_ device: Register = .first, address: Register? = nil, family: AddressFamily? = nil) {
      self.device = device
      self.address = address
      self.family = family
    }
  }

  /// Sends a copy: by an interface (netdev), or to a neighbour (ip, ip6).
  public struct Duplicate: ExpressionKind {
    public var address: Register?
    public var device: Register?

    public init(address: Register? = nil, device: Register? = .first) {
      self.address = address
      self.device = device
    }
  }
}

extension Expression.Reject {
  static let name = "reject"

  func write(to writer: ExpressionWriter) {
    switch self {
    case .unreachable(let code):
      writer.set(NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH.rawValue)
      writer.set(NFTNL_EXPR_REJECT_CODE, byte: code)
    case .unreachableAnyFamily(let reason):
      writer.set(NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH.rawValue)
      writer.set(NFTNL_EXPR_REJECT_CODE, byte: reason.rawValue)
    case .tcpReset: writer.set(NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST.rawValue)
    }
  }

  init?(_ reader: ExpressionReader) {
    let code = reader.byte(NFTNL_EXPR_REJECT_CODE) ?? 0
    switch reader.word(NFTNL_EXPR_REJECT_TYPE) {
    case NFT_REJECT_ICMP_UNREACH.rawValue?: self = .unreachable(code: code)
    case NFT_REJECT_TCP_RST.rawValue?: self = .tcpReset
    case NFT_REJECT_ICMPX_UNREACH.rawValue?:
      guard let reason = Reason(rawValue: code) else { return nil }
      self = .unreachableAnyFamily(reason)
    default: return nil
    }
  }
}

extension Expression.Forward {
  static let name = "fwd"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_FWD_SREG_DEV, device)
    if let address { writer.set(NFTNL_EXPR_FWD_SREG_ADDR, address) }
    if let family { writer.set(NFTNL_EXPR_FWD_NFPROTO, UInt32(family.netfilterNumber)) }
  }

  init?(_ reader: ExpressionReader) {
    guard let device = reader.register(NFTNL_EXPR_FWD_SREG_DEV) else { return nil }
    self.init(
      device, address: reader.register(NFTNL_EXPR_FWD_SREG_ADDR),
      family: reader.word(NFTNL_EXPR_FWD_NFPROTO).flatMap(AddressFamily.init(netfilterNumber:)))
  }
}

extension Expression.Duplicate {
  static let name = "dup"

  func write(to writer: ExpressionWriter) {
    if let address { writer.set(NFTNL_EXPR_DUP_SREG_ADDR, address) }
    if let device { writer.set(NFTNL_EXPR_DUP_SREG_DEV, device) }
  }

  init?(_ reader: ExpressionReader) {
    self.init(
      address: reader.register(NFTNL_EXPR_DUP_SREG_ADDR), device: reader.register(NFTNL_EXPR_DUP_SREG_DEV))
  }
}
