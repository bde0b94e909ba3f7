internal import CLinux

extension Expression.Compare {
  static let name = "cmp"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_CMP_SREG, register)
    writer.set(NFTNL_EXPR_CMP_OP, operation.rawValue)
    writer.set(NFTNL_EXPR_CMP_DATA, value)
  }

  init?(_ reader: ExpressionReader) {
    guard let register = reader.register(NFTNL_EXPR_CMP_SREG), let value = reader.bytes(NFTNL_EXPR_CMP_DATA),
      let operation = reader.word(NFTNL_EXPR_CMP_OP).flatMap(Operation.init(rawValue:))
    else { return nil }
    self.init(operation, value, in: register)
  }
}

extension Expression.RangeCompare {
  static let name = "range"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_RANGE_SREG, register)
    writer.set(NFTNL_EXPR_RANGE_OP, isInverted ? NFT_RANGE_NEQ.rawValue : NFT_RANGE_EQ.rawValue)
    writer.set(NFTNL_EXPR_RANGE_FROM_DATA, first)
    writer.set(NFTNL_EXPR_RANGE_TO_DATA, last)
  }

  init?(_ reader: ExpressionReader) {
    guard let register = reader.register(NFTNL_EXPR_RANGE_SREG), let operation = reader.word(NFTNL_EXPR_RANGE_OP),
      let first = reader.bytes(NFTNL_EXPR_RANGE_FROM_DATA), let last = reader.bytes(NFTNL_EXPR_RANGE_TO_DATA)
    else { return nil }
    self.init(first, through: last, isInverted: operation == NFT_RANGE_NEQ.rawValue, in: register)
  }
}

extension Expression.Immediate {
  static let name = "immediate"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_IMM_DREG, register)
    writer.set(NFTNL_EXPR_IMM_DATA, value)
  }

  init?(_ reader: ExpressionReader) {
    guard let register = reader.register(NFTNL_EXPR_IMM_DREG), let value = reader.bytes(NFTNL_EXPR_IMM_DATA)
    else { return nil }
    self.init(value, into: register)
  }
}

/// A verdict is the value of an immediate whose register is NFT_REG_VERDICT.
extension Verdict: ExpressionKind {
  static var name: String { Expression.Immediate.name }

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT.rawValue)
    writer.set(NFTNL_EXPR_IMM_VERDICT, UInt32(bitPattern: code))
    if let chain { writer.set(NFTNL_EXPR_IMM_CHAIN, chain) }
  }

  init?(_ reader: ExpressionReader) {
    guard reader.name == Self.name, reader.word(NFTNL_EXPR_IMM_DREG) == NFT_REG_VERDICT.rawValue,
      let code = reader.word(NFTNL_EXPR_IMM_VERDICT)
    else { return nil }
    self.init(code: Int32(bitPattern: code), chain: reader.text(NFTNL_EXPR_IMM_CHAIN))
  }
}

extension Expression.Bitwise {
  static let name = "bitwise"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_BITWISE_SREG, source)
    writer.set(NFTNL_EXPR_BITWISE_DREG, destination)
    writer.set(NFTNL_EXPR_BITWISE_LEN, length)
    switch operation {
    case .mask(let mask, let xor):
      writer.set(NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_MASK_XOR.rawValue)
      writer.set(NFTNL_EXPR_BITWISE_MASK, mask)
      writer.set(NFTNL_EXPR_BITWISE_XOR, xor)
    case .shiftLeft(let bits):
      writer.set(NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_LSHIFT.rawValue)
      writer.set(NFTNL_EXPR_BITWISE_DATA, Datum.hostNumber(bits))
    case .shiftRight(let bits):
      writer.set(NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_RSHIFT.rawValue)
      writer.set(NFTNL_EXPR_BITWISE_DATA, Datum.hostNumber(bits))
    }
  }

  init?(_ reader: ExpressionReader) {
    guard let source = reader.register(NFTNL_EXPR_BITWISE_SREG), let length = reader.word(NFTNL_EXPR_BITWISE_LEN),
      let destination = reader.register(NFTNL_EXPR_BITWISE_DREG), let operation = Operation(reader)
    else { return nil }
    self.init(operation, length: length, from: source, into: destination)
  }
}

extension Expression.Bitwise.Operation {
  fileprivate init?(_ reader: ExpressionReader) {
    let bits = reader.bytes(NFTNL_EXPR_BITWISE_DATA).flatMap { data in
      data.count == 4 ? data.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) } : nil
    }
    switch (reader.word(NFTNL_EXPR_BITWISE_OP) ?? 0, bits) {
    case (NFT_BITWISE_MASK_XOR.rawValue, _):
      guard let mask = reader.bytes(NFTNL_EXPR_BITWISE_MASK), let xor = reader.bytes(NFTNL_EXPR_BITWISE_XOR)
      else { return nil }
      self = .mask(mask, xor: xor)
    case (NFT_BITWISE_LSHIFT.rawValue, let bits?): self = .shiftLeft(bits)
    case (NFT_BITWISE_RSHIFT.rawValue, let bits?): self = .shiftRight(bits)
    default: return nil
    }
  }
}

extension Expression.ByteOrder {
  static let name = "byteorder"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_BYTEORDER_SREG, source)
    writer.set(NFTNL_EXPR_BYTEORDER_DREG, destination)
    writer.set(NFTNL_EXPR_BYTEORDER_OP, toNetwork ? NFT_BYTEORDER_HTON.rawValue : NFT_BYTEORDER_NTOH.rawValue)
    writer.set(NFTNL_EXPR_BYTEORDER_LEN, length)
    writer.set(NFTNL_EXPR_BYTEORDER_SIZE, size)
  }

  init?(_ reader: ExpressionReader) {
    guard let source = reader.register(NFTNL_EXPR_BYTEORDER_SREG),
      let destination = reader.register(NFTNL_EXPR_BYTEORDER_DREG),
      let operation = reader.word(NFTNL_EXPR_BYTEORDER_OP), let length = reader.word(NFTNL_EXPR_BYTEORDER_LEN),
      let size = reader.word(NFTNL_EXPR_BYTEORDER_SIZE)
    else { return nil }
    self.init(toNetwork: operation == NFT_BYTEORDER_HTON.rawValue, length: length, size: size, in: source)
    self.destination = destination
  }
}

extension Expression.NumberGenerator {
  static let name = "numgen"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_NG_DREG, register)
    writer.set(NFTNL_EXPR_NG_MODULUS, modulus)
    writer.set(NFTNL_EXPR_NG_TYPE, kind.rawValue)
    writer.set(NFTNL_EXPR_NG_OFFSET, offset)
  }

  init?(_ reader: ExpressionReader) {
    guard let register = reader.register(NFTNL_EXPR_NG_DREG), let modulus = reader.word(NFTNL_EXPR_NG_MODULUS),
      let kind = reader.word(NFTNL_EXPR_NG_TYPE).flatMap(Kind.init(rawValue:))
    else { return nil }
    self.init(kind, modulus: modulus, offset: reader.word(NFTNL_EXPR_NG_OFFSET) ?? 0, into: register)
  }
}

extension Expression.Hash {
  static let name = "hash"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_HASH_SREG, source)
    writer.set(NFTNL_EXPR_HASH_DREG, register)
    writer.set(NFTNL_EXPR_HASH_LEN, length)
    writer.set(NFTNL_EXPR_HASH_MODULUS, modulus)
    writer.set(NFTNL_EXPR_HASH_SEED, seed)
    writer.set(NFTNL_EXPR_HASH_OFFSET, offset)
    writer.set(NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS.rawValue)
  }

  init?(_ reader: ExpressionReader) {
    guard reader.word(NFTNL_EXPR_HASH_TYPE) ?? 0 == NFT_HASH_JENKINS.rawValue,
      let source = reader.register(NFTNL_EXPR_HASH_SREG), let register = reader.register(NFTNL_EXPR_HASH_DREG),
      let length = reader.word(NFTNL_EXPR_HASH_LEN), let modulus = reader.word(NFTNL_EXPR_HASH_MODULUS)
    else { return nil }
    self.init(
      of: source, length, modulus: modulus, seed: reader.word(NFTNL_EXPR_HASH_SEED) ?? 0,
      offset: reader.word(NFTNL_EXPR_HASH_OFFSET) ?? 0, into: register)
  }
}
