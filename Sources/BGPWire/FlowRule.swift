public import NetTypes

/// A Flow Specification: which packets are meant (RFC 8955 for IPv4, RFC 8956 for IPv6). What is done with them stands in
/// the route's extended communities (`FlowActions`).
///
/// To BGP the NLRI is an opaque key (RFC 8955 section 4): two rules are one only if their octets are equal, also where
/// others would mean the same packets. Therefore the octets are kept as they came.
public struct FlowRule: Sendable {
  public let family: AddressFamily
  /// Ascending by type, each type once, at least one.
  public let components: [FlowComponent]
  /// The NLRI value, without its length.
  public let octets: [UInt8]

  /// The largest NLRI value: twelve bits of length.
  public static let largestSize = 0x0FFF

  /// The prefix that the rule is validated by (RFC 8955 section 6); nil: it names none, or one with an offset.
  public var destination: IPPrefix? {
    guard case .prefix(let destination)? = self[.destination], destination.offset == 0 else { return nil }
    return destination.prefix
  }

  public subscript(type: FlowComponentType) -> FlowComponent.Value? {
    components.first { $0.type == type }?.value
  }
}

extension FlowRule: Hashable {
  public static func == (a: FlowRule, b: FlowRule) -> Bool { a.family == b.family && a.octets == b.octets }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(family)
    hasher.combine(octets)
  }
}

/// Why octets, or components, are no flow rule. RFC 8955 section 4.2: all of these are malformed NLRI.
public enum FlowRuleFault: Error, Hashable, Sendable {
  /// A length that exceeds what is there.
  case length
  /// No component at all.
  case empty
  /// A component type that is not known, or not of the family.
  case unknownType(UInt8)
  /// Types do not ascend strictly.
  case order(FlowComponentType)
  case prefixLength(FlowComponentType)
  case offset(FlowComponentType)
  /// Operators without an end, or a value of a length that the type does not allow.
  case operators(FlowComponentType)
  /// More than `FlowRule.largestSize` octets.
  case tooLong
}

extension FlowRuleFault: CustomStringConvertible {
  public var description: String {
    switch self {
    case .length: "length exceeds the NLRI"
    case .empty: "no component"
    case .unknownType(let type): "unknown component type \(type)"
    case .order(let type): "\(type.name): component types do not ascend"
    case .prefixLength(let type): "\(type.name): prefix length is wrong"
    case .offset(let type): "\(type.name): offset is not inside the prefix"
    case .operators(let type): "\(type.name): operators do not parse"
    case .tooLong: "longer than 4095 octets"
    }
  }
}

// MARK: - Text

extension FlowRule: CustomStringConvertible {
  /// As people read it: `destination 203.0.113.0/24 protocol 17 destination-port 53,1024-65535`.
  public var description: String { components.map(\.description).joined(separator: " ") }
}

extension FlowComponent: CustomStringConvertible {
  public var description: String {
    switch value {
    case .prefix(let prefix):
      "\(type.name) \(prefix.prefix)" + (prefix.offset == 0 ? "" : " offset \(prefix.offset)")
    case .operations(let operations):
      "\(type.name) " + (type.form == .bitmask ? Self.text(bits: operations, type) : numbers(operations))
    }
  }

  private func numbers(_ operations: [FlowOperation]) -> String {
    let ranges = Self.ranges(operations, through: type.largestValue)
    guard !ranges.isEmpty else { return "none" }
    return ranges.map { range in
      if range.count == 1 { return "\(range.lowerBound)" }
      if range == 0...type.largestValue { return "any" }
      return "\(range.lowerBound)-\(range.upperBound)"
    }.joined(separator: ",")
  }

  /// `syn&!ack`: both; `fin|syn`: any of the two; `syn+ack`: one comparison for all its bits.
  private static func text(bits operations: [FlowOperation], _ type: FlowComponentType) -> String {
    runs(operations).map { run in
      run.map { operation in
        let names = names(operation.value, type)
        let isAll = operation.comparison.contains(.match)
        let text = names.isEmpty ? "0" : names.joined(separator: isAll ? "+" : "|")
        let isOne = names.count < 2
        return (operation.comparison.contains(.not) ? "!" : "") + (isOne ? text : "(\(text))")
      }.joined(separator: "&")
    }.joined(separator: ",")
  }

  private static func names(_ bits: UInt64, _ type: FlowComponentType) -> [String] {
    let known =
      type == .tcpFlags
      ? ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"]
      : ["dont-fragment", "is-fragment", "first-fragment", "last-fragment"]
    return (0..<16).filter { bits >> UInt64($0) & 1 == 1 }.map { $0 < known.count ? known[$0] : "bit-\($0)" }
  }
}
