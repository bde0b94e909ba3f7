public import NetTypes

// MARK: - From octets

extension FlowRule {
  /// From an NLRI value.
  public init(decoding octets: [UInt8], _ family: AddressFamily) throws(FlowRuleFault) {
    guard !octets.isEmpty else { throw .empty }
    guard octets.count <= Self.largestSize else { throw .tooLong }
    var reader = FlowReader(octets)
    var components: [FlowComponent] = []
    while let octet = reader.next() {
      guard let type = FlowComponentType(rawValue: octet), family == .ipv6 || type != .flowLabel else {
        throw .unknownType(octet)
      }
      // RFC 8955 section 4.2: strictly ascending, so each once.
      if let last = components.last, last.type >= type { throw .order(type) }
      let start = reader.position
      let value = try type.form == .prefix ? reader.prefix(type, family) : reader.operations(type, family)
      components.append(FlowComponent(type, value, octets: Array(octets[start..<reader.position])))
    }
    self.family = family
    self.components = components
    self.octets = octets
  }

  /// From an NLRI field: any number of rules, each behind its length.
  public static func list(
    _ nlri: UnsafeRawBufferPointer, _ family: AddressFamily
  ) throws(FlowRuleFault) -> [FlowRule] {
    var rules: [FlowRule] = []
    var rest = nlri[...]
    while let first = rest.first {
      var length = Int(first)
      var header = 1
      // RFC 8955 section 4.1: lengths of 240 and more are written 0xfnnn.
      if first >= 0xF0 {
        guard rest.count >= 2 else { throw .length }
        length = Int(first & 0x0F) << 8 | Int(rest[rest.startIndex + 1])
        header = 2
      }
      rest = rest.dropFirst(header)
      guard rest.count >= length else { throw .length }
      rules.append(try FlowRule(decoding: Array(rest.prefix(length)), family))
      rest = rest.dropFirst(length)
    }
    return rules
  }
}

/// Reads the octets of one rule.
private struct FlowReader {
  let octets: [UInt8]
  private(set) var position = 0

  init(_ octets: [UInt8]) { self.octets = octets }

  mutating func next() -> UInt8? {
    guard position < octets.count else { return nil }
    position += 1
    return octets[position - 1]
  }

  private mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
    guard octets.count - position >= count else { return nil }
    position += count
    return octets[position - count..<position]
  }

  mutating func prefix(
    _ type: FlowComponentType, _ family: AddressFamily
  ) throws(FlowRuleFault) -> FlowComponent.Value {
    guard let length = next(), Int(length) <= family.bits else { throw .prefixLength(type) }
    var offset: UInt8 = 0
    if family == .ipv6 {
      // RFC 8956 section 3.1: inside the prefix, or both are zero.
      guard let written = next(), written < length || (written == 0 && length == 0) else { throw .offset(type) }
      offset = written
    }
    guard let pattern = take((Int(length) - Int(offset) + 7) / 8) else { throw .prefixLength(type) }
    // The pattern begins at bit `offset`; what is beyond the length is padding and of no meaning.
    var bytes = [UInt8](repeating: 0, count: family.bits / 8)
    for bit in Int(offset)..<max(Int(length), Int(offset)) {
      let place = bit - Int(offset)
      if pattern[pattern.startIndex + place / 8] >> UInt8(7 - place % 8) & 1 == 1 {
        bytes[bit / 8] |= 1 << UInt8(7 - bit % 8)
      }
    }
    guard let address = IPAddress(bytes: bytes), let prefix = IPPrefix(address, length: Int(length)),
      let value = FlowPrefix(prefix, offset: offset)
    else { throw .prefixLength(type) }
    return .prefix(value)
  }

  mutating func operations(
    _ type: FlowComponentType, _ family: AddressFamily
  ) throws(FlowRuleFault) -> FlowComponent.Value {
    let meaning = type.meaning(family)
    var operations: [FlowOperation] = []
    while let octet = next() {
      let count = 1 << Int(octet >> 4 & 3)
      guard type.valueOctets.contains(count), let bytes = take(count) else { throw .operators(type) }
      let value = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      // The AND bit of the first means nothing (RFC 8955 section 4.2.1.1).
      let comparison = FlowOperation.Comparison(rawValue: octet & (type.form == .bitmask ? 3 : 7))
      operations.append(
        FlowOperation(comparison, value & meaning, isAnd: octet & 0x40 != 0 && !operations.isEmpty))
      if octet & 0x80 != 0 { return .operations(operations) }
    }
    throw .operators(type)
  }
}

// MARK: - To octets

extension FlowRule {
  /// A rule of ours: components in any order, each type once.
  public init(_ family: AddressFamily, _ values: [(FlowComponentType, FlowComponent.Value)]) throws(FlowRuleFault) {
    guard !values.isEmpty else { throw .empty }
    var octets: [UInt8] = []
    var previous: FlowComponentType?
    for (type, value) in values.sorted(by: { $0.0 < $1.0 }) {
      guard type != previous else { throw .order(type) }
      previous = type
      octets.append(type.rawValue)
      octets += try Self.encode(type, value, family)
    }
    try self.init(decoding: octets, family)
  }

  private static func encode(
    _ type: FlowComponentType, _ value: FlowComponent.Value, _ family: AddressFamily
  ) throws(FlowRuleFault) -> [UInt8] {
    switch (value, type.form) {
    case (.prefix(let prefix), .prefix):
      guard prefix.prefix.family == family else { throw .prefixLength(type) }
      return encode(prefix)
    case (.operations(let operations), .numeric), (.operations(let operations), .bitmask):
      guard !operations.isEmpty else { throw .operators(type) }
      return try encode(type, operations)
    default:
      throw .operators(type)
    }
  }

  private static func encode(_ prefix: FlowPrefix) -> [UInt8] {
    let (length, offset) = (Int(prefix.prefix.length), Int(prefix.offset))
    let header = prefix.prefix.family == .ipv4 ? [prefix.prefix.length] : [prefix.prefix.length, prefix.offset]
    let address = prefix.prefix.address.bytes
    var pattern = [UInt8](repeating: 0, count: (length - offset + 7) / 8)
    for bit in offset..<max(length, offset) where address[bit / 8] >> UInt8(7 - bit % 8) & 1 == 1 {
      pattern[(bit - offset) / 8] |= 1 << UInt8(7 - (bit - offset) % 8)
    }
    return header + pattern
  }

  private static func encode(_ type: FlowComponentType, _ operations: [FlowOperation]) throws(FlowRuleFault) -> [UInt8]
  {
    var octets: [UInt8] = []
    for (index, operation) in operations.enumerated() {
      guard operation.value <= type.largestValue else { throw .operators(type) }
      let count = type.octets(for: operation.value)
      let isLast = index == operations.count - 1
      octets.append(
        (isLast ? 0x80 : 0) | (operation.isAnd && index > 0 ? 0x40 : 0) | UInt8(count.trailingZeroBitCount) << 4
          | operation.comparison.rawValue & (type.form == .bitmask ? 3 : 7))
      for place in (0..<count).reversed() {
        octets.append(UInt8(truncatingIfNeeded: operation.value >> UInt64(place * 8)))
      }
    }
    return octets
  }

  /// With its length in front (RFC 8955 section 4.1).
  public var nlri: [UInt8] {
    octets.count < 0xF0
      ? [UInt8(octets.count)] + octets
      : [0xF0 | UInt8(truncatingIfNeeded: octets.count >> 8), UInt8(truncatingIfNeeded: octets.count)] + octets
  }
}

// MARK: - Precedence

extension FlowRule: Comparable {
  /// Which rule a packet is asked of first: RFC 8955 section 5.1, RFC 8956 section 4. IPv4 before IPv6, which no packet
  /// can tell.
  public static func < (a: FlowRule, b: FlowRule) -> Bool {
    guard a.family == b.family else { return a.family == .ipv4 }
    for (x, y) in zip(a.components, b.components) {
      if x.type != y.type { return x.type < y.type }
      if let isFirst = x.precedes(y) { return isFirst }
    }
    // What says more is asked first.
    if a.components.count != b.components.count { return a.components.count > b.components.count }
    // Rules may differ in padding bits only, which the RFC's order does not see; ours is total.
    return a.octets.lexicographicallyPrecedes(b.octets)
  }
}

extension FlowComponent {
  /// nil: equal as far as the order goes.
  fileprivate func precedes(_ other: FlowComponent) -> Bool? {
    guard case .prefix(let x) = value, case .prefix(let y) = other.value else { return precedesAsOctets(other) }
    if x.offset != y.offset { return x.offset < y.offset }
    if x.prefix.overlaps(y.prefix) {
      return x.prefix.length == y.prefix.length ? nil : x.prefix.length > y.prefix.length
    }
    return x.prefix.address < y.prefix.address
  }

  private func precedesAsOctets(_ other: FlowComponent) -> Bool? {
    if octets == other.octets { return nil }
    let count = min(octets.count, other.octets.count)
    if octets.prefix(count).elementsEqual(other.octets.prefix(count)) { return octets.count > other.octets.count }
    return octets.lexicographicallyPrecedes(other.octets)
  }
}
