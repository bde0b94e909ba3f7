internal import CLinux

// Kinds that compute in registers only.
extension Expression {
  /// Goes on only if a register compares as said with a value (enum nft_cmp_ops), byte by byte from the first.
  public struct Compare: ExpressionKind {
    public enum Operation: UInt32, Hashable, Sendable {
      case equal = 0
      case notEqual = 1
      case less = 2
      case lessOrEqual = 3
      case greater = 4
      case greaterOrEqual = 5

      var opposite: Operation {
        switch self {
        case .equal: .notEqual
        case .notEqual: .equal
        case .less: .greaterOrEqual
        case .lessOrEqual: .greater
        case .greater: .lessOrEqual
        case .greaterOrEqual: .less
        }
      }
    }
    public var register: Register
    public var operation: Operation
    public var value: [UInt8]

    public init(_ operation: Operation, _ value: [UInt8], in register: Register = .first) {
      self.register = register
      self.operation = operation
      self.value = value
    }

    /// Equal.
    public init(_ value: [UInt8], in register: Register = .first) { self.init(.equal, value, in: register) }
  }

  /// Goes on only if a register lies between two values, ends included; or only if not.
  public struct RangeCompare: ExpressionKind {
    public var register: Register
    public var isInverted: Bool
    public var first: [UInt8]
    public var last: [UInt8]

    public init(_ first: [UInt8], through last: [UInt8], isInverted: Bool = false, in register: Register = .first) {
      self.register = register
      self.isInverted = isInverted
      self.first = first
      self.last = last
    }
  }

  /// A value for a register.
  public struct Immediate: ExpressionKind {
    public var value: [UInt8]
    public var register: Register

    public init(_ value: [UInt8], into register: Register = .first) {
      self.value = value
      self.register = register
    }
  }

  /// Arithmetic on bits (enum nft_bitwise_ops).
  public struct Bitwise: ExpressionKind {
    public enum Operation: Hashable, Sendable {
      /// (register & mask) ^ xor
      case mask([UInt8], xor: [UInt8])
      case shiftLeft(UInt32)
      case shiftRight(UInt32)
    }
    public var source: Register
    public var destination: Register
    public var length: UInt32
    public var operation: Operation

    public init(
      _ operation: Operation, length: UInt32, from source: Register = .first, into destination: Register? = nil
    ) {
      self.source = source
      self.destination = destination ?? source
      self.length = length
      self.operation = operation
    }

    public init(mask: [UInt8], xor: [UInt8]? = nil, in register: Register = .first) {
      self.init(
        .mask(mask, xor: xor ?? [UInt8](repeating: 0, count: mask.count)), length: UInt32(mask.count), from: register)
    }
  }

  /// Swaps bytes between host and network order.
  public struct ByteOrder: ExpressionKind {
    public var source: Register
    public var destination: Register
    public var toNetwork: Bool
    public var length: UInt32
    /// Bytes of one number: 2, 4 or 8.
    public var size: UInt32

    public init(toNetwork: Bool, length: UInt32, size: UInt32, in register: Register = .first) {
      source = register
      destination = register
      self.toNetwork = toNetwork
      self.length = length
      self.size = size
    }
  }

  /// A number below `modulus`, plus `offset`: random, or each time the next (enum nft_ng_types).
  public struct NumberGenerator: ExpressionKind {
    public enum Kind: UInt32, Hashable, Sendable {
      case incremental = 0
      case random = 1
    }
    public var kind: Kind
    public var modulus: UInt32
    public var offset: UInt32
    public var register: Register

    public init(_ kind: Kind, modulus: UInt32, offset: UInt32 = 0, into register: Register = .first) {
      self.kind = kind
      self.modulus = modulus
      self.offset = offset
      self.register = register
    }
  }

  /// A number below `modulus`, plus `offset`, that depends on a register's value only (Jenkins hash).
  public struct Hash: ExpressionKind {
    public var source: Register
    public var length: UInt32
    public var modulus: UInt32
    public var seed: UInt32
    public var offset: UInt32
    public var register: Register

    public init(
      of source: Register, _ length: UInt32, modulus: UInt32, seed: UInt32, offset: UInt32 = 0,
      into register: Register = .first
    ) {
      self.source = source
      self.length = length
      self.modulus = modulus
      self.seed = seed
      self.offset = offset
      self.register = register
    }
  }
}
