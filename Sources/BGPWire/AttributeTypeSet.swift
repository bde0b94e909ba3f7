/// A set of attribute types: one bit each.
public struct AttributeTypeSet: Hashable, Sendable {
  private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  public static func == (a: AttributeTypeSet, b: AttributeTypeSet) -> Bool { a.words == b.words }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }

  public init(_ types: [AttributeType] = []) {
    for type in types { insert(type.rawValue) }
  }

  public var isEmpty: Bool { words == (0, 0, 0, 0) }

  public func contains(_ type: UInt8) -> Bool {
    let bit = UInt64(1) << UInt64(type & 63)
    switch type >> 6 {
    case 0: return words.0 & bit != 0
    case 1: return words.1 & bit != 0
    case 2: return words.2 & bit != 0
    default: return words.3 & bit != 0
    }
  }

  public mutating func insert(_ type: UInt8) {
    let bit = UInt64(1) << UInt64(type & 63)
    switch type >> 6 {
    case 0: words.0 |= bit
    case 1: words.1 |= bit
    case 2: words.2 |= bit
    default: words.3 |= bit
    }
  }

  @inline(__always) mutating func subtract(_ other: AttributeTypeSet) {
    words.0 &= ~other.words.0
    words.1 &= ~other.words.1
    words.2 &= ~other.words.2
    words.3 &= ~other.words.3
  }

  func union(_ other: AttributeTypeSet) -> AttributeTypeSet {
    var result = self
    result.words.0 |= other.words.0
    result.words.1 |= other.words.1
    result.words.2 |= other.words.2
    result.words.3 |= other.words.3
    return result
  }

  /// In ascending order.
  @inline(__always) func forEach(_ body: (UInt8) -> Void) {
    Self.walk(words.0, 0, body)
    Self.walk(words.1, 64, body)
    Self.walk(words.2, 128, body)
    Self.walk(words.3, 192, body)
  }

  @inline(__always) private static func walk(_ word: UInt64, _ base: UInt8, _ body: (UInt8) -> Void) {
    var word = word
    while word != 0 {
      body(base + UInt8(truncatingIfNeeded: word.trailingZeroBitCount))
      word &= word &- 1
    }
  }
}
