internal import CLinux

extension Expression {
  /// Bytes of the packet, read into a register or written from one.
  public struct Payload: ExpressionKind {
    /// Where offsets count from (enum nft_payload_bases).
    public enum Base: UInt32, Hashable, Sendable {
      case linkHeader = 0
      case networkHeader = 1
      case transportHeader = 2
      case innerHeader = 3
    }

    /// The checksum to mend after a write.
    public struct Checksum: Hashable, Sendable {
      /// Of the Internet checksum, from `base`.
      public var offset: UInt32
      /// The transport checksum covers the bytes too, by its pseudo header (NFT_PAYLOAD_L4CSUM_PSEUDOHDR).
      public var coversPseudoHeader: Bool

      public init(at offset: UInt32, coversPseudoHeader: Bool = false) {
        self.offset = offset
        self.coversPseudoHeader = coversPseudoHeader
      }
    }

    public var base: Base
    public var offset: UInt32
    public var length: UInt32
    public var transfer: Transfer
    /// Writes only.
    public var checksum: Checksum?

    public init(
      _ base: Base, at offset: UInt32, _ length: UInt32, _ transfer: Transfer = .load(into: .first),
      checksum: Checksum? = nil
    ) {
      self.base = base
      self.offset = offset
      self.length = length
      self.transfer = transfer
      self.checksum = checksum
    }
  }

  /// An extension header or option, read into a register or written from one (enum nft_exthdr_op).
  public struct HeaderOption: ExpressionKind {
    public enum Kind: UInt32, Hashable, Sendable {
      case ipv6 = 0
      case tcp = 1
      case ipv4 = 2
    }

    public var kind: Kind
    /// Number of the header or option, e.g. 2 for TCP's maximum segment size.
    public var number: UInt8
    public var offset: UInt32
    public var length: UInt32
    /// Only whether it is there: the register gets 1 or 0.
    public var presence: Bool
    public var transfer: Transfer

    public init(
      _ kind: Kind, _ number: UInt8, at offset: UInt32, _ length: UInt32, presence: Bool = false,
      _ transfer: Transfer = .load(into: .first)
    ) {
      self.kind = kind
      self.number = number
      self.offset = offset
      self.length = length
      self.presence = presence
      self.transfer = transfer
    }
  }
}

extension Expression.Payload {
  static let name = "payload"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_PAYLOAD_BASE, base.rawValue)
    writer.set(NFTNL_EXPR_PAYLOAD_OFFSET, offset)
    writer.set(NFTNL_EXPR_PAYLOAD_LEN, length)
    writer.set(transfer, into: NFTNL_EXPR_PAYLOAD_DREG, from: NFTNL_EXPR_PAYLOAD_SREG)
    guard let checksum else { return }
    writer.set(NFTNL_EXPR_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET.rawValue)
    writer.set(NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, checksum.offset)
    if checksum.coversPseudoHeader {
      writer.set(NFTNL_EXPR_PAYLOAD_FLAGS, NFT_PAYLOAD_L4CSUM_PSEUDOHDR.rawValue)
    }
  }

  init?(_ reader: ExpressionReader) {
    guard let base = reader.word(NFTNL_EXPR_PAYLOAD_BASE).flatMap(Base.init(rawValue:)),
      let offset = reader.word(NFTNL_EXPR_PAYLOAD_OFFSET), let length = reader.word(NFTNL_EXPR_PAYLOAD_LEN),
      let transfer = reader.transfer(into: NFTNL_EXPR_PAYLOAD_DREG, from: NFTNL_EXPR_PAYLOAD_SREG)
    else { return nil }
    self.init(base, at: offset, length, transfer)
    switch reader.word(NFTNL_EXPR_PAYLOAD_CSUM_TYPE) ?? 0 {
    case NFT_PAYLOAD_CSUM_NONE.rawValue: break
    case NFT_PAYLOAD_CSUM_INET.rawValue:
      checksum = Checksum(
        at: reader.word(NFTNL_EXPR_PAYLOAD_CSUM_OFFSET) ?? 0,
        coversPseudoHeader: reader.word(NFTNL_EXPR_PAYLOAD_FLAGS) ?? 0 != 0)
    default: return nil
    }
  }
}

extension Expression.HeaderOption {
  static let name = "exthdr"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_EXTHDR_TYPE, byte: number)
    writer.set(NFTNL_EXPR_EXTHDR_OFFSET, offset)
    writer.set(NFTNL_EXPR_EXTHDR_LEN, length)
    writer.set(NFTNL_EXPR_EXTHDR_OP, kind.rawValue)
    if presence { writer.set(NFTNL_EXPR_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT.rawValue) }
    writer.set(transfer, into: NFTNL_EXPR_EXTHDR_DREG, from: NFTNL_EXPR_EXTHDR_SREG)
  }

  init?(_ reader: ExpressionReader) {
    guard let kind = Kind(rawValue: reader.word(NFTNL_EXPR_EXTHDR_OP) ?? 0),
      let number = reader.byte(NFTNL_EXPR_EXTHDR_TYPE), let offset = reader.word(NFTNL_EXPR_EXTHDR_OFFSET),
      let length = reader.word(NFTNL_EXPR_EXTHDR_LEN),
      let transfer = reader.transfer(into: NFTNL_EXPR_EXTHDR_DREG, from: NFTNL_EXPR_EXTHDR_SREG)
    else { return nil }
    let flags = reader.word(NFTNL_EXPR_EXTHDR_FLAGS) ?? 0
    self.init(kind, number, at: offset, length, presence: flags & NFT_EXTHDR_F_PRESENT.rawValue != 0, transfer)
  }
}
