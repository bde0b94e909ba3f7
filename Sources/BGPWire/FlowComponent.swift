public import NetTypes

/// What a component of a flow rule looks at (IANA "Flow Spec Component Types"; RFC 8955 section 4.2.2, RFC 8956
/// section 3).
public enum FlowComponentType: UInt8, Hashable, Comparable, Sendable, CaseIterable {
  case destination = 1
  case source = 2
  /// IPv6: the first header that is no extension header.
  case `protocol` = 3
  /// Of either end.
  case port = 4
  case destinationPort = 5
  case sourcePort = 6
  case icmpType = 7
  case icmpCode = 8
  case tcpFlags = 9
  /// Of the whole IP packet.
  case length = 10
  case dscp = 11
  case fragment = 12
  /// IPv6 only.
  case flowLabel = 13

  public static func < (a: FlowComponentType, b: FlowComponentType) -> Bool { a.rawValue < b.rawValue }

  /// How its value is written.
  public enum Form: Hashable, Sendable { case prefix, numeric, bitmask }

  public var form: Form {
    switch self {
    case .destination, .source: .prefix
    case .tcpFlags, .fragment: .bitmask
    default: .numeric
    }
  }

  /// For people.
  public var name: String {
    switch self {
    case .destination: "destination"
    case .source: "source"
    case .protocol: "protocol"
    case .port: "port"
    case .destinationPort: "destination-port"
    case .sourcePort: "source-port"
    case .icmpType: "icmp-type"
    case .icmpCode: "icmp-code"
    case .tcpFlags: "tcp-flags"
    case .length: "length"
    case .dscp: "dscp"
    case .fragment: "fragment"
    case .flowLabel: "flow-label"
    }
  }

  /// The largest value that the field of a packet can hold.
  public var largestValue: UInt64 {
    switch self {
    case .protocol, .icmpType, .icmpCode: 0xFF
    case .port, .destinationPort, .sourcePort, .length: 0xFFFF
    case .dscp: 0x3F
    case .tcpFlags: 0x0FFF
    case .fragment: 0x0F
    case .flowLabel: 0xF_FFFF
    case .destination, .source: 0
    }
  }

  /// Octets that a value may be written in, where the RFCs leave no choice (RFC 8955 sections 4.2.2.9, 4.2.2.11 and
  /// 4.2.2.12; RFC 8956 section 3.7). Elsewhere they only recommend.
  var valueOctets: ClosedRange<Int> {
    switch self {
    case .tcpFlags: 1...2
    case .dscp, .fragment: 1...1
    case .flowLabel: 1...4
    default: 1...8
    }
  }

  /// Bits of a value that are read; the others are nothing (RFC 8955 sections 4.2.2.11 and 4.2.2.12; RFC 8956 section
  /// 3.6: IPv6 has no "don't fragment").
  func meaning(_ family: AddressFamily) -> UInt64 {
    switch self {
    case .dscp: 0x3F
    case .fragment: family == .ipv4 ? 0x0F : 0x0E
    default: .max
    }
  }

  /// What we write: the smallest that holds the value, of those recommended.
  func octets(for value: UInt64) -> Int {
    switch self {
    case .flowLabel: 4
    case .port, .destinationPort, .sourcePort, .length, .tcpFlags: value > 0xFF ? 2 : 1
    default: 1
    }
  }
}

/// Bits of an address from `offset` to the end of a prefix; the bits before `offset` are any (RFC 8956 section 3.1;
/// RFC 8955 knows no offset).
public struct FlowPrefix: Hashable, Sendable {
  /// Bits before `offset` are zero.
  public let prefix: IPPrefix
  public let offset: UInt8

  public init(_ prefix: IPPrefix) {
    self.prefix = prefix
    offset = 0
  }

  /// nil: `offset` is not inside the prefix.
  public init?(_ prefix: IPPrefix, offset: UInt8) {
    guard offset == 0 || (prefix.family == .ipv6 && offset < prefix.length) else { return nil }
    self.offset = offset
    self.prefix = offset == 0 ? prefix : Self.clearing(prefix, to: Int(offset))
  }

  private static func clearing(_ prefix: IPPrefix, to offset: Int) -> IPPrefix {
    let bytes = prefix.address.bytes.enumerated().map { index, byte in
      byte & (UInt8.max >> UInt8(min(max(offset - index * 8, 0), 8)))
    }
    return IPAddress(bytes: bytes).flatMap { IPPrefix($0, length: Int(prefix.length)) } ?? prefix
  }
}

/// One comparison of a list (RFC 8955 sections 4.2.1.1 and 4.2.1.2).
public struct FlowOperation: Hashable, Sendable {
  /// The three low bits of the operator octet.
  public struct Comparison: OptionSet, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    // Numeric: any of the three.
    public static let less = Comparison(rawValue: 4)
    public static let greater = Comparison(rawValue: 2)
    public static let equal = Comparison(rawValue: 1)
    // Bitmask: all of the bits rather than any; the result turned around.
    public static let not = Comparison(rawValue: 2)
    public static let match = Comparison(rawValue: 1)
  }

  /// Both this and the one before have to hold. The first of a list has none before it.
  public var isAnd: Bool
  public var comparison: Comparison
  public var value: UInt64

  public init(_ comparison: Comparison, _ value: UInt64, isAnd: Bool = false) {
    self.comparison = comparison
    self.value = value
    self.isAnd = isAnd
  }

  /// The numbers that it holds for.
  func numericRanges(through largest: UInt64) -> [ClosedRange<UInt64>] {
    var ranges: [ClosedRange<UInt64>] = []
    if comparison.contains(.less), value > 0 { ranges.append(0...min(value - 1, largest)) }
    if comparison.contains(.equal), value <= largest { ranges.append(value...value) }
    if comparison.contains(.greater), value < largest { ranges.append(value + 1...largest) }
    return ranges
  }

  /// Numeric: holds for every other number.
  var negated: FlowOperation {
    FlowOperation(comparison.symmetricDifference([.less, .equal, .greater]), value, isAnd: isAnd)
  }

  func holdsBits(_ bits: UInt64) -> Bool {
    let holds = comparison.contains(.match) ? bits & value == value : bits & value != 0
    return holds != comparison.contains(.not)
  }
}

/// One condition of a flow rule.
public struct FlowComponent: Hashable, Sendable {
  public enum Value: Hashable, Sendable {
    case prefix(FlowPrefix)
    /// Numeric or bitmask, as the type says; never empty.
    case operations([FlowOperation])
  }

  public let type: FlowComponentType
  public let value: Value
  /// The value as it travels, behind the type.
  let octets: [UInt8]

  init(_ type: FlowComponentType, _ value: Value, octets: [UInt8]) {
    self.type = type
    self.value = value
    self.octets = octets
  }

  /// Lists of operations in runs that have to hold together; one run is enough (AND binds before OR, RFC 8955 section
  /// 4.2.1.1).
  static func runs(_ operations: [FlowOperation]) -> [[FlowOperation]] {
    var runs: [[FlowOperation]] = []
    for (index, operation) in operations.enumerated() {
      if operation.isAnd, index > 0 { runs[runs.count - 1].append(operation) } else { runs.append([operation]) }
    }
    return runs
  }

  /// Of a bitmask type: whether a packet whose field holds `bits` is meant.
  public static func holds(_ operations: [FlowOperation], bits: UInt64) -> Bool {
    runs(operations).contains { $0.allSatisfy { $0.holdsBits(bits) } }
  }

  /// Of a numeric type: the values that are meant, as ranges that neither overlap nor touch, ascending. A neighbor
  /// chooses how long the list is: the time is n log n. What one run means is what none of its operations excludes.
  public static func ranges(_ operations: [FlowOperation], through largest: UInt64) -> [ClosedRange<UInt64>] {
    let meant = runs(operations).flatMap { run in
      run.count == 1
        ? run[0].numericRanges(through: largest)
        : complement(joined(run.flatMap { $0.negated.numericRanges(through: largest) }), largest)
    }
    return joined(meant)
  }

  private static func complement(_ ranges: [ClosedRange<UInt64>], _ largest: UInt64) -> [ClosedRange<UInt64>] {
    var result: [ClosedRange<UInt64>] = []
    var next: UInt64 = 0
    for range in ranges {
      if range.lowerBound > next { result.append(next...range.lowerBound - 1) }
      guard range.upperBound < largest else { return result }
      next = range.upperBound + 1
    }
    return result + [next...largest]
  }

  private static func joined(_ ranges: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
    var result: [ClosedRange<UInt64>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = result.last, range.lowerBound == 0 || last.upperBound >= range.lowerBound - 1 {
        result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        result.append(range)
      }
    }
    return result
  }
}
