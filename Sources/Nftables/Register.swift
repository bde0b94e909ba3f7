internal import CLinux

/// A place of the rule's scratch memory: sixteen words of four bytes, or, seen from every fourth word, four places of
/// sixteen bytes (enum nft_registers of linux/netfilter/nf_tables.h).
public struct Register: Hashable, Sendable {
  /// 0 to 15.
  public let word: UInt8

  public init(word: UInt8) {
    precondition(word < 16, "nftables has sixteen registers")
    self.word = word
  }

  /// Where matches load what they compare.
  public static let first = Register(word: 0)

  /// The place `bytes` further on, rounded up to a word: the next field of a concatenation.
  public func advanced(by bytes: Int) -> Register { Register(word: word + UInt8((bytes + 3) / 4)) }

  /// The kernel shows the first word of a place by the place's number (NFT_REG_1 ...), the others by their own.
  var number: UInt32 {
    word % 4 == 0
      ? UInt32(word / 4) + NFT_REG_1.rawValue : UInt32(word) + NFT_REG32_00.rawValue
  }

  init?(number: UInt32) {
    switch number {
    case NFT_REG_1.rawValue...NFT_REG_4.rawValue: word = UInt8(number - NFT_REG_1.rawValue) * 4
    case NFT_REG32_00.rawValue...NFT_REG32_15.rawValue: word = UInt8(number - NFT_REG32_00.rawValue)
    default: return nil
    }
  }
}

/// What an expression that can read and write a field does with it.
public enum Transfer: Hashable, Sendable {
  case load(into: Register)
  case store(from: Register)
}

/// What becomes of a packet (enum nft_verdicts; NF_ACCEPT and NF_DROP of linux/netfilter.h).
public enum Verdict: Hashable, Sendable {
  case accept
  case drop
  /// On to the next rule.
  case `continue`
  /// Back to the chain that jumped here; in a base chain: its policy.
  case `return`
  case jump(String)
  /// A jump that does not come back here.
  case goto(String)

  /// Where it leads.
  public var chain: String? {
    switch self {
    case .jump(let chain), .goto(let chain): chain
    default: nil
    }
  }

  var code: Int32 {
    switch self {
    case .accept: NF_ACCEPT
    case .drop: NF_DROP
    case .continue: NFT_CONTINUE.rawValue
    case .return: NFT_RETURN.rawValue
    case .jump: NFT_JUMP.rawValue
    case .goto: NFT_GOTO.rawValue
    }
  }

  init?(code: Int32, chain: String?) {
    switch code {
    case NF_ACCEPT: self = .accept
    case NF_DROP: self = .drop
    case NFT_CONTINUE.rawValue: self = .continue
    case NFT_RETURN.rawValue: self = .return
    case NFT_JUMP.rawValue: self = .jump(chain ?? "")
    case NFT_GOTO.rawValue: self = .goto(chain ?? "")
    default: return nil
    }
  }
}
