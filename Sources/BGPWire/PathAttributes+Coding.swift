import NetTypes

extension PathAttributes {
  /// From canonical form (see `AttributeIndex`).
  public init(canonical list: UnsafeRawBufferPointer) {
    var index = AttributeIndex()
    index.load(canonical: list)
    self.init(index)
  }

  /// From an index over a list in canonical form.
  public init(_ index: borrowing AttributeIndex) {
    origin = index.value(of: .origin).flatMap { $0.first.flatMap(Origin.init(rawValue:)) } ?? .incomplete
    if let path = index.value(of: .asPath) { asPath = EncodedASPath(path).decoded }
    if let value = index.value(of: .nextHop) { nextHop = IPAddress(bytes: value) }
    med = index.unsigned32(.med)
    localPref = index.unsigned32(.localPref)
    atomicAggregate = index.contains(.atomicAggregate)
    if let value = index.value(of: .aggregator), value.count == 8 {
      aggregator = Aggregator(
        asn: ASNumber(value.bigEndian32(at: 0)), address: IPv4Address(rawValue: value.bigEndian32(at: 4)))
    }
    communities = Self.numbers(index.value(of: .communities)).map(Community.init(rawValue:))
    originatorID = index.unsigned32(.originatorID)
    clusterList = Self.numbers(index.value(of: .clusterList))
    let large = Self.numbers(index.value(of: .largeCommunities))
    largeCommunities = stride(from: 0, to: large.count - 2, by: 3).map {
      LargeCommunity(large[$0], large[$0 + 1], large[$0 + 2])
    }
    otc = index.unsigned32(.otc).map(ASNumber.init)
    others = Self.opaque(index)
  }

  private static let decoded: Set<AttributeType> = [
    .origin, .asPath, .nextHop, .med, .localPref, .atomicAggregate, .aggregator, .communities, .originatorID,
    .clusterList, .largeCommunities, .otc,
  ]

  private static func numbers(_ value: UnsafeRawBufferPointer?) -> [UInt32] {
    guard let value else { return [] }
    return stride(from: 0, to: value.count - 3, by: 4).map { value.bigEndian32(at: $0) }
  }

  private static func opaque(_ index: borrowing AttributeIndex) -> [Opaque] {
    var types: [AttributeType] = []
    index.forEachType { if !decoded.contains($0) { types.append($0) } }
    var result: [Opaque] = []
    for type in types {
      guard let value = index.value(of: type) else { continue }
      result.append(
        Opaque(flags: index.flags(of: type).subtracting(.extendedLength), type: type, value: Array(value)))
    }
    return result
  }

  /// In canonical form.
  public func encodeCanonical() -> [UInt8] {
    var parts: [(type: AttributeType, flags: AttributeFlags?, value: [UInt8])] = [
      (.origin, nil, [origin.rawValue]), (.asPath, nil, asPath.encode()),
    ]
    if let nextHop { parts.append((.nextHop, nil, nextHop.bytes)) }
    if let med { parts.append((.med, nil, Self.bytes([med]))) }
    if let localPref { parts.append((.localPref, nil, Self.bytes([localPref]))) }
    if atomicAggregate { parts.append((.atomicAggregate, nil, [])) }
    if let aggregator {
      parts.append((.aggregator, nil, Self.bytes([aggregator.asn.rawValue, aggregator.address.rawValue])))
    }
    if !communities.isEmpty { parts.append((.communities, nil, Self.bytes(communities.map(\.rawValue)))) }
    if let originatorID { parts.append((.originatorID, nil, Self.bytes([originatorID]))) }
    if !clusterList.isEmpty { parts.append((.clusterList, nil, Self.bytes(clusterList))) }
    if !largeCommunities.isEmpty {
      let numbers = largeCommunities.flatMap { [$0.global, $0.data1, $0.data2] }
      parts.append((.largeCommunities, nil, Self.bytes(numbers)))
    }
    if let otc { parts.append((.otc, nil, Self.bytes([otc.rawValue]))) }
    parts += others.map { ($0.type, $0.flags, $0.value) }
    return Self.encode(parts.sorted { $0.type < $1.type })
  }

  private static func bytes(_ numbers: [UInt32]) -> [UInt8] {
    var bytes: [UInt8] = []
    for number in numbers { bytes.appendBigEndian(number) }
    return bytes
  }

  private static func encode(_ parts: [(type: AttributeType, flags: AttributeFlags?, value: [UInt8])]) -> [UInt8] {
    let capacity = parts.reduce(0) { $0 + $1.value.count + 4 }
    return [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      guard let base = buffer.baseAddress else { return }
      var writer = AttributeWriter(UnsafeMutableRawPointer(base))
      for part in parts {
        if let flags = part.flags {
          writer.header(part.type, flags, count: part.value.count)
        } else {
          writer.header(part.type, count: part.value.count)
        }
        writer.bytes(part.value)
      }
      count = writer.count
    }
  }
}
