internal import CLinux
public import NetTypes

/// What the elements of a set or map look like, and how it behaves (enum nft_set_attributes).
public struct SetShape: Hashable, Sendable {
  /// What a map answers.
  public enum Answer: Hashable, Sendable {
    /// - Parameter isRange: each answer is two values, first and last (of NAT to a prefix).
    case data([DataType], isRange: Bool = false)
    case verdict
  }

  /// One, or the fields of a concatenation.
  public var key: [DataType]
  /// nil: a set.
  public var answer: Answer?
  /// Elements may be ranges.
  public var isInterval: Bool
  /// Packets add elements (`Expression.DynamicSet`): then the elements are state, and no comparison looks at them.
  public var isDynamic: Bool
  /// Milliseconds an element lives; nil: for ever, or as each says.
  public var timeout: UInt64?
  /// Most elements.
  public var size: UInt32?

  public init(
    _ key: [DataType], to answer: Answer? = nil, isInterval: Bool = false, isDynamic: Bool = false,
    timeout: UInt64? = nil, size: UInt32? = nil
  ) {
    precondition(!key.isEmpty, "a set has a key")
    self.key = key
    self.answer = answer
    self.isInterval = isInterval
    self.isDynamic = isDynamic
    self.timeout = timeout
    self.size = size
  }

  /// Of what `Action.update(_:withFlowOf:ports:)` adds.
  public static func flow(_ family: AddressFamily, ports: Bool, timeout: UInt64, size: UInt32) -> SetShape {
    let address = DataType.address(family)
    return SetShape(
      [address, address, .transportProtocol] + (ports ? [.port, .port] : []), isDynamic: true, timeout: timeout,
      size: size)
  }

  public var isMap: Bool { answer != nil }
  /// Ranges of a concatenation are given with both ends in one element; of a single key as two elements.
  var isIntervalConcatenation: Bool { isInterval && key.count > 1 }
}

/// Elements without a name of their own: written in a rule, made and taken away with it (NFT_SET_ANONYMOUS).
public struct SetContents: Hashable, Sendable {
  public let shape: SetShape
  /// In order of their keys.
  public let elements: [SetElement]

  public init(_ shape: SetShape, _ elements: [SetElement]) {
    self.shape = shape
    self.elements = elements.sorted { $0.key < $1.key }
  }

  /// Chains that its verdicts lead to.
  var chainsUsed: [String] {
    elements.compactMap { if case .verdict(let verdict)? = $0.value { verdict.chain } else { nil } }
  }
}

/// A set or map that rules refer to by name, and whose elements can change without them.
public struct NamedSet: Hashable, Sendable {
  /// At most 255 bytes (NFT_SET_MAXNAMELEN).
  public var name: String
  public var contents: SetContents

  public init(_ name: String, _ shape: SetShape, _ elements: [SetElement] = []) {
    self.name = name
    contents = SetContents(shape, elements)
  }

  public var shape: SetShape { contents.shape }
  public var elements: [SetElement] { contents.elements }
}

/// The set that a lookup asks.
public enum SetReference: Hashable, Sendable {
  case named(String)
  case inline(SetContents)

  var name: String? { if case .named(let name) = self { name } else { nil } }
  var contents: SetContents? { if case .inline(let contents) = self { contents } else { nil } }
}
