// A flow rule → conditions of nftables.
//
// Operators may be combined in ways that no comparison of nftables says. A numeric component is therefore worked out to
// the ranges of values that it means, a bitmask to the values where one chain of masks does not say it; both become one
// comparison or one look-up in a set. Where that does not do (an IPv6 packet is whole, or has a header that says that it is
// a first fragment) there is a list of conditions for each way to match, and no packet matches two.

internal import BGPWire
internal import NetTypes
internal import Nftables

enum FlowSpecConditions {
  /// Empty: no packet can match.
  static func ways(_ rule: FlowRule) -> [[Match]] {
    guard let protocols = protocols(rule) else { return [] }
    var ways: [[Match]] = [[.family(rule.family)] + protocols]
    if rule.components.contains(where: { $0.type.isOfTransport }) {
      ways = ways.flatMap { way in firstPiece(rule.family).map { way + $0 } }
    }
    for component in rule.components {
      let more = self.ways(component, rule.family)
      ways = ways.flatMap { way in more.map { way + $0 } }
    }
    return ways
  }

  /// One component: the ways to match it.
  private static func ways(_ component: FlowComponent, _ family: AddressFamily) -> [[Match]] {
    switch (component.type, component.value) {
    case (.destination, .prefix(let prefix)): [[address(prefix, 24, 16)]]
    case (.source, .prefix(let prefix)): [[address(prefix, 8, 12)]]
    case (.tcpFlags, .operations(let operations)): tcpFlags(operations)
    case (.fragment, .operations(let operations)):
      family == .ipv4 ? fragmentsIPv4(operations) : fragmentsIPv6(operations)
    case (.protocol, _): [[]]  // asked first
    case (let type, .operations(let operations)):
      numeric(type, FlowComponent.ranges(operations, through: type.largestValue), family)
    default: []
    }
  }

  // MARK: - Protocols

  /// The protocols that the rule can mean: what it says, and what has the fields that it asks for (RFC 8955 section
  /// 4.2.2.4 and on: ports are those of TCP and UDP). nil: none.
  private static func protocols(_ rule: FlowRule) -> [Match]? {
    var meant = Set(UInt64(0)...255)
    for component in rule.components {
      guard case .operations(let operations) = component.value else { continue }
      switch component.type {
      case .protocol:
        meant.formIntersection(FlowComponent.ranges(operations, through: 255).joined())
      case .port, .destinationPort, .sourcePort: meant.formIntersection([6, 17])
      case .icmpType, .icmpCode: meant.formIntersection([rule.family == .ipv4 ? 1 : 58])
      case .tcpFlags: meant.formIntersection([6])
      default: break
      }
    }
    guard !meant.isEmpty else { return nil }
    let field = Field([.meta(Nftables.Expression.Meta(.transportProtocol))], 1, 255, .transportProtocol)
    return field.matches(Field.ranges(meant.sorted()))
  }

  // MARK: - Addresses

  private static func address(_ prefix: FlowPrefix, _ ipv6Offset: UInt32, _ ipv4Offset: UInt32) -> Match {
    let isDestination = ipv6Offset == 24
    guard prefix.offset > 0 else { return isDestination ? .destination(prefix.prefix) : .source(prefix.prefix) }
    // RFC 8956 section 3.1: the bits from the offset to the length.
    let mask = (0..<16).map { byte in
      (0..<8).reduce(UInt8(0)) { bits, bit in
        let place = byte * 8 + bit
        let isMeant = place >= Int(prefix.offset) && place < Int(prefix.prefix.length)
        return bits | (isMeant ? 0x80 >> UInt8(bit) : 0)
      }
    }
    return .expressions([
      .payload(Nftables.Expression.Payload(.networkHeader, at: ipv6Offset, 16)),
      .bitwise(Nftables.Expression.Bitwise(mask: mask)),
      .compare(Nftables.Expression.Compare(prefix.prefix.address.bytes)),
    ])
  }

  // MARK: - Numbers

  private static func numeric(
    _ type: FlowComponentType, _ ranges: [ClosedRange<UInt64>], _ family: AddressFamily
  ) -> [[Match]] {
    guard !ranges.isEmpty else { return [] }
    switch type {
    case .port: return eitherPort(ranges)
    case .destinationPort: return [Field.port(at: 2).matches(ranges)]
    case .sourcePort: return [Field.port(at: 0).matches(ranges)]
    case .icmpType: return [Field(.transportHeader, 0, 1, 0xFF).matches(ranges)]
    case .icmpCode: return [Field(.transportHeader, 1, 1, 0xFF).matches(ranges)]
    case .dscp:
      let field =
        family == .ipv4
        ? Field(.networkHeader, 1, 1, 0x3F, mask: [0xFC], shift: 2)
        : Field(.networkHeader, 0, 2, 0x3F, mask: [0x0F, 0xC0], shift: 6)
      return [field.matches(ranges)]
    case .flowLabel:
      return [Field(.networkHeader, 0, 4, 0xF_FFFF, mask: [0, 0x0F, 0xFF, 0xFF]).matches(ranges)]
    case .length: return length(ranges, family)
    default: return []
    }
  }

  /// The source port is meant, or it is not and the destination port is. Two ways: one look-up of both ports would need
  /// an element for each pair of ranges, and a rule of 4,000 octets, which any neighbor may send, has 1,300 of them.
  private static func eitherPort(_ ranges: [ClosedRange<UInt64>]) -> [[Match]] {
    let (source, destination) = (Field.port(at: 0), Field.port(at: 2))
    let others = Field.complement(ranges, 0xFFFF)
    guard !others.isEmpty else { return [[]] }
    return [source.matches(ranges), source.matches(others) + destination.matches(ranges)]
  }

  /// Of the whole packet. IPv6 writes it without its header of 40 octets.
  private static func length(_ ranges: [ClosedRange<UInt64>], _ family: AddressFamily) -> [[Match]] {
    guard family == .ipv6 else { return [Field(.networkHeader, 2, 2, 0xFFFF).matches(ranges)] }
    let payload = ranges.filter { $0.upperBound >= 40 }.map { max($0.lowerBound, 40) - 40...$0.upperBound - 40 }
    return payload.isEmpty ? [] : [Field(.networkHeader, 4, 2, 0xFFFF - 40).matches(payload)]
  }

  // MARK: - Bits

  private static func tcpFlags(_ operations: [FlowOperation]) -> [[Match]] {
    // Two octets reach into the one with the data offset, which is no flag (RFC 8955 section 4.2.2.9).
    let isLong = operations.contains { $0.value > 0xFF }
    let field =
      isLong ? Field(.transportHeader, 12, 2, 0x0FFF, mask: [0x0F, 0xFF]) : Field(.transportHeader, 13, 1, 0xFF)
    let isOneRun = operations.dropFirst().allSatisfy(\.isAnd)
    if isOneRun, operations.allSatisfy({ (1...field.largest).contains($0.value) }) {
      return [operations.map { field.matches($0) }]
    }
    let values = (0...field.largest).filter { FlowComponent.holds(operations, bits: $0) }
    return values.isEmpty ? [] : [field.matches(Field.ranges(values))]
  }

  /// Only the first piece of a packet has a transport header. nftables looks into the others all the same, by its
  /// shortest way to load a field (nft_payload_fast_eval of Linux 6.18).
  private static func firstPiece(_ family: AddressFamily) -> [[Match]] {
    guard family == .ipv6 else { return [Field(.networkHeader, 6, 2, 0x1FFF, mask: [0x1F, 0xFF]).matches([0...0])] }
    return [[isNoFragment], [fragmentWord([0xFF, 0xF8], .equal, [0, 0])]]
  }

  private static let isNoFragment = Match.expressions([
    .headerOption(Nftables.Expression.HeaderOption(.ipv6, 44, at: 0, 1, presence: true)),
    .compare(Nftables.Expression.Compare([0])),
  ])

  /// Bits of the component (RFC 8955 section 4.2.2.12), by what a packet is. A first fragment is no "is a fragment".
  private enum Piece: UInt64, CaseIterable {
    case whole = 0
    case middle = 2
    case first = 4
    /// Last, and so one that is not the first.
    case last = 10
  }

  private static let dontFragment: UInt64 = 1

  /// The word of flags and offset, without its reserved bit: DF 0x4000, MF 0x2000, then the offset.
  private static func fragmentsIPv4(_ operations: [FlowOperation]) -> [[Match]] {
    var values: [ClosedRange<UInt64>] = []
    for flag in [UInt64(0), dontFragment] {
      let base = flag << 14
      for piece in [Piece.whole, .last, .first, .middle]
      where FlowComponent.holds(operations, bits: flag | piece.rawValue) {
        switch piece {
        case .whole: values.append(base...base)
        case .last: values.append(base + 1...base + 0x1FFF)
        case .first: values.append(base + 0x2000...base + 0x2000)
        case .middle: values.append(base + 0x2001...base + 0x3FFF)
        }
      }
    }
    let field = Field(.networkHeader, 6, 2, 0x7FFF, mask: [0x7F, 0xFF])
    return values.isEmpty ? [] : [field.matches(Field.joined(values))]
  }

  /// Fragments have a header of their own (RFC 8200 section 4.5): thirteen bits of offset, two reserved, M.
  private static func fragmentsIPv6(_ operations: [FlowOperation]) -> [[Match]] {
    let meant = Piece.allCases.filter { FlowComponent.holds(operations, bits: $0.rawValue) }
    switch meant {
    case Piece.allCases: return [[]]
    case [.middle, .first, .last]: return [[fragmentWord([0xFF, 0xF9], .notEqual, [0, 0])]]
    case [.middle, .last]: return [[fragmentWord([0xFF, 0xF8], .notEqual, [0, 0])]]
    case [.middle, .first]: return [[fragmentWord([0, 1], .equal, [0, 1])]]
    default: break
    }
    return meant.flatMap { piece -> [[Match]] in
      switch piece {
      case .whole:
        // An atomic fragment (RFC 6946) is a whole packet.
        [
          [isNoFragment],
          [fragmentWord([0xFF, 0xF9], .equal, [0, 0])],
        ]
      case .first: [[fragmentWord([0xFF, 0xF9], .equal, [0, 1])]]
      case .middle: [[fragmentWord([0xFF, 0xF8], .notEqual, [0, 0]), fragmentWord([0, 1], .equal, [0, 1])]]
      case .last: [[fragmentWord([0xFF, 0xF8], .notEqual, [0, 0]), fragmentWord([0, 1], .equal, [0, 0])]]
      }
    }
  }

  private static func fragmentWord(
    _ mask: [UInt8], _ operation: Nftables.Expression.Compare.Operation, _ value: [UInt8]
  ) -> Match {
    .expressions([
      .headerOption(Nftables.Expression.HeaderOption(.ipv6, 44, at: 2, 2)),
      .bitwise(Nftables.Expression.Bitwise(mask: mask)), .compare(Nftables.Expression.Compare(operation, value)),
    ])
  }
}

extension FlowComponentType {
  fileprivate var isOfTransport: Bool {
    switch self {
    case .port, .destinationPort, .sourcePort, .icmpType, .icmpCode, .tcpFlags: true
    default: false
    }
  }
}

/// A number in a packet: how it is loaded, and how values are written to be compared with it.
private struct Field {
  private let load: [Nftables.Expression]
  private let octets: Int
  let largest: UInt64
  private let type: DataType
  private let shift: UInt64

  init(_ load: [Nftables.Expression], _ octets: Int, _ largest: UInt64, _ type: DataType, shift: UInt64 = 0) {
    self.load = load
    self.octets = octets
    self.largest = largest
    self.type = type
    self.shift = shift
  }

  /// - Parameter mask: of the octets loaded; what it leaves keeps its place, `shift` bits from the end.
  init(
    _ base: Nftables.Expression.Payload.Base, _ offset: UInt32, _ octets: Int, _ largest: UInt64,
    mask: [UInt8]? = nil, shift: UInt64 = 0
  ) {
    let payload = Nftables.Expression.payload(Nftables.Expression.Payload(base, at: offset, UInt32(octets)))
    self.init(
      [payload] + (mask.map { [.bitwise(Nftables.Expression.Bitwise(mask: $0))] } ?? []), octets, largest,
      .integer(octets), shift: shift)
  }

  static func port(at offset: UInt32) -> Field {
    Field(
      [.payload(Nftables.Expression.Payload(.transportHeader, at: offset, 2))], 2, 0xFFFF, .port)
  }

  private func bytes(_ value: UInt64) -> [UInt8] {
    (0..<octets).reversed().map { UInt8(truncatingIfNeeded: (value << shift) >> UInt64($0 * 8)) }
  }

  /// - Parameter ranges: ascending, not empty. Nothing where every value is meant.
  func matches(_ ranges: [ClosedRange<UInt64>]) -> [Match] {
    guard ranges != [0...largest], let first = ranges.first else { return [] }
    if ranges.count == 1 {
      let (low, high) = (bytes(first.lowerBound), bytes(first.upperBound))
      if low == high { return [.expressions(load + [.compare(Nftables.Expression.Compare(low))])] }
      var comparisons: [Nftables.Expression] = []
      if first.lowerBound > 0 { comparisons.append(.compare(Nftables.Expression.Compare(.greaterOrEqual, low))) }
      if first.upperBound < largest { comparisons.append(.compare(Nftables.Expression.Compare(.lessOrEqual, high))) }
      return [.expressions(load + comparisons)]
    }
    let elements = ranges.map { SetElement(SetKey(bytes($0.lowerBound), through: bytes($0.upperBound))) }
    let shape = SetShape([type], isInterval: ranges.contains { $0.count > 1 })
    return [.expressions(load + [.lookup(Nftables.Expression.Lookup(.inline(SetContents(shape, elements))))])]
  }

  /// One comparison of bits (RFC 8955 section 4.2.1.2).
  func matches(_ operation: FlowOperation) -> Match {
    let isAll = operation.comparison.contains(.match)
    let isNot = operation.comparison.contains(.not)
    let mask = bytes(operation.value & largest)
    let value = isAll ? mask : [UInt8](repeating: 0, count: octets)
    let wanted: Nftables.Expression.Compare.Operation = isAll != isNot ? .equal : .notEqual
    // The mask leaves out what the field's own would, so that one is not needed besides.
    return .expressions([
      load[0], .bitwise(Nftables.Expression.Bitwise(mask: mask)),
      .compare(Nftables.Expression.Compare(wanted, value)),
    ])
  }

  // MARK: Ranges

  /// Of ascending values.
  static func ranges(_ values: [UInt64]) -> [ClosedRange<UInt64>] { joined(values.map { $0...$0 }) }

  /// What touches becomes one.
  static func joined(_ ranges: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
    var result: [ClosedRange<UInt64>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = result.last, last.upperBound + 1 >= range.lowerBound {
        result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        result.append(range)
      }
    }
    return result
  }

  static func complement(_ ranges: [ClosedRange<UInt64>], _ largest: UInt64) -> [ClosedRange<UInt64>] {
    var result: [ClosedRange<UInt64>] = []
    var next: UInt64 = 0
    for range in ranges {
      if range.lowerBound > next { result.append(next...range.lowerBound - 1) }
      next = range.upperBound + 1
    }
    if next <= largest { result.append(next...largest) }
    return result
  }
}
