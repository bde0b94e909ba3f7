/// What an element stands for: one value, or all from one to another, ends included.
public struct SetKey: Hashable, Sendable {
  public var first: [UInt8]
  public var last: [UInt8]

  public init(_ value: [UInt8]) {
    first = value
    last = value
  }

  public init(_ first: [UInt8], through last: [UInt8]) {
    self.first = first
    self.last = last
  }

  /// Everything that no other element covers (`*`; NFT_SET_ELEM_CATCHALL).
  public static let otherwise = SetKey([])
  var isCatchAll: Bool { first.isEmpty }
}

extension SetKey: Comparable {
  public static func < (a: SetKey, b: SetKey) -> Bool {
    a.first == b.first ? a.last.lexicographicallyPrecedes(b.last) : a.first.lexicographicallyPrecedes(b.first)
  }
}

/// One element of a set or map.
public struct SetElement: Hashable, Sendable {
  /// What a map answers.
  public enum Value: Hashable, Sendable {
    case data([UInt8])
    case verdict(Verdict)
  }

  public var key: SetKey
  /// nil in a set.
  public var value: Value?
  /// Milliseconds to live; nil: the set's own.
  public var timeout: UInt64?
  /// Milliseconds left. Answers only.
  public var expires: UInt64?
  /// Where the set counts per element. Answers only.
  public var counter: Expression.Counter?

  public init(_ key: SetKey, _ value: Value? = nil, timeout: UInt64? = nil) {
    self.key = key
    self.value = value
    self.timeout = timeout
  }

  /// Without what packets and time change.
  public var canonical: SetElement { SetElement(key, value, timeout: timeout) }
}

extension [UInt8] {
  /// The next number in network order; nil after the last.
  var successor: [UInt8]? {
    var next = self
    for index in next.indices.reversed() {
      next[index] &+= 1
      if next[index] != 0 { return next }
    }
    return nil
  }

  /// The number before in network order; nil before zero.
  var predecessor: [UInt8]? {
    var next = self
    for index in next.indices.reversed() {
      next[index] &-= 1
      if next[index] != 255 { return next }
    }
    return nil
  }
}
