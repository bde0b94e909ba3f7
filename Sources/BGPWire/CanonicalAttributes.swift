public import NetTypes

extension AttributeIndex {
  /// Room that `encodeCanonical` needs at most: AS numbers may grow from two octets to four, NEXT_HOP is added.
  public var canonicalCapacity: Int { list.count * 2 + 64 }

  /// Writes the list in canonical form (see `AttributeIndex`). `validate` has found nothing that withdraws.
  /// - Parameters:
  ///   - nextHop: from MP_REACH_NLRI; replaces NEXT_HOP. nil: NEXT_HOP stays.
  ///   - target: has room for `canonicalCapacity` octets.
  /// - Returns: octets written.
  public func encodeCanonical(
    _ context: UpdateContext, nextHop: IPAddress?, to target: UnsafeMutableRawPointer
  ) -> Int {
    var writer = AttributeWriter(target)
    var nextHop = nextHop
    forEachType { type in
      if let address = nextHop, type.rawValue >= AttributeType.nextHop.rawValue {
        writer.nextHop(address)
        nextHop = nil
        if type == .nextHop { return }
      }
      guard let value = value(of: type) else { return }
      encode(type, value, context, &writer)
    }
    if let nextHop { writer.nextHop(nextHop) }
    return writer.count
  }

  private func encode(
    _ type: AttributeType, _ value: UnsafeRawBufferPointer, _ context: UpdateContext, _ writer: inout AttributeWriter
  ) {
    switch type {
    case .mpReach, .mpUnreach, .as4Path, .as4Aggregator:
      return
    case .asPath where !context.hasFourOctetAS:
      let path = mergedPath(value).encode()
      writer.header(.asPath, count: path.count)
      writer.bytes(path)
    case .aggregator where !context.hasFourOctetAS:
      encodeAggregator(value, &writer)
    default:
      let flags = flags(of: type)
      if let rule = AttributeRule.table[Int(type.rawValue)] {
        // The Partial bit is for optional transitive attributes, and zero on all others (RFC 4271 section 4.3).
        writer.attribute(type, rule.flags == [.optional, .transitive] ? flags : rule.flags, value)
      } else if flags.contains(.transitive) {
        // Not recognized, so passed on with the Partial bit (RFC 4271 section 5).
        writer.attribute(type, flags.union(.partial), value)
      }
    }
  }

  /// An AGGREGATOR other than AS_TRANS means that both AS4_ attributes are stale (RFC 6793 section 4.2.3).
  private var as4AttributesAreStale: Bool {
    guard let aggregator = value(of: .aggregator), aggregator.count == 6, contains(.as4Aggregator) else { return false }
    return UInt32(aggregator.bigEndian16(at: 0)) != ASNumber.trans.rawValue
  }

  private func mergedPath(_ value: UnsafeRawBufferPointer) -> ASPath {
    let path = EncodedASPath(value, width: 2).decoded
    guard let as4Path = self.value(of: .as4Path), !as4AttributesAreStale else { return path }
    var long = EncodedASPath(as4Path).decoded
    // Segments of a confederation have no business in AS4_PATH and are discarded (RFC 6793 section 6).
    long.segments.removeAll { $0.kind == .confederationSequence || $0.kind == .confederationSet }
    return path.merged(withAS4Path: long)
  }

  private func encodeAggregator(_ value: UnsafeRawBufferPointer, _ writer: inout AttributeWriter) {
    let flags = flags(of: .aggregator)
    let asn = UInt32(value.bigEndian16(at: 0))
    if asn == ASNumber.trans.rawValue, let as4 = self.value(of: .as4Aggregator) {
      writer.attribute(.aggregator, flags, as4)
    } else {
      writer.header(.aggregator, flags, count: 8)
      writer.bigEndian(asn)
      writer.bigEndian(value.bigEndian32(at: 2))
    }
  }
}

extension AttributeWriter {
  /// NEXT_HOP as canonical form has it: four octets, or sixteen.
  public mutating func nextHop(_ address: IPAddress) {
    switch address {
    case .v4(let address):
      header(.nextHop, count: 4)
      bigEndian(address.rawValue)
    case .v6(let address):
      header(.nextHop, count: 16)
      bigEndian(address.high)
      bigEndian(address.low)
    }
  }
}
