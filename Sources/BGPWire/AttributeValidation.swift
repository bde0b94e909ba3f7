extension AttributeIndex {
  /// Checks flags, lengths and values of what `scan` found (RFC 7606 section 7). Attributes to be discarded are removed.
  /// The families' NLRI are not looked at.
  /// - Returns: the strongest fault.
  public mutating func validate(_ context: UpdateContext) -> UpdateFault? {
    var discarded = AttributeTypeSet()
    var fault: UpdateFault?
    forEachType { type in
      guard let found = check(type, context) else { return }
      fault = fault.stronger(found)
      if found.action == .attributeDiscard { discarded.insert(type.rawValue) }
    }
    if !discarded.isEmpty { remove(discarded) }
    return fault
  }

  /// ORIGIN and AS_PATH have to be there with any route, NEXT_HOP with IPv4 routes of the NLRI field (RFC 7606
  /// section 3 d).
  public func missing(needsNextHop: Bool) -> UpdateFault? {
    for type in [AttributeType.origin, .asPath] where !contains(type) {
      return UpdateFault(.treatAsWithdraw, .missing, type, code: .missingWellKnown)
    }
    guard needsNextHop, !contains(.nextHop) else { return nil }
    return UpdateFault(.treatAsWithdraw, .missing, .nextHop, code: .missingWellKnown)
  }

  private func check(_ type: AttributeType, _ context: UpdateContext) -> UpdateFault? {
    guard let value = value(of: type) else { return nil }
    let flags = flags(of: type)
    guard let rule = AttributeRule.table[Int(type.rawValue)] else {
      // A well-known attribute that we do not know: the routes are not usable, the session is.
      return flags.contains(.optional)
        ? nil : UpdateFault(.treatAsWithdraw, .unknownWellKnown, type, code: .unrecognizedWellKnown)
    }
    if rule.internalOnly && context.isExternal {
      return UpdateFault(.attributeDiscard, .fromExternal, type, code: .malformedAttributeList)
    }
    if flags.intersection(.category) != rule.flags {
      // Also where a wrong value would only cost the attribute (RFC 7606 section 3 c). Between 4-octet speakers the AS4
      // attributes are discarded whatever they look like (RFC 6793 section 4.1).
      let isUnread = context.hasFourOctetAS && (type == .as4Path || type == .as4Aggregator)
      return UpdateFault(isUnread ? .attributeDiscard : .treatAsWithdraw, .flags, type, code: .attributeFlags)
    }
    guard rule.length.allows(value.count, context) else {
      return UpdateFault(rule.action, .length, type, code: .attributeLength)
    }
    return checkValue(type, value, rule, context)
  }

  private func checkValue(
    _ type: AttributeType, _ value: UnsafeRawBufferPointer, _ rule: AttributeRule, _ context: UpdateContext
  ) -> UpdateFault? {
    switch type {
    case .origin where value[0] > 2:
      return UpdateFault(rule.action, .value, type, code: .invalidOrigin)
    case .asPath:
      return EncodedASPath(value, width: context.hasFourOctetAS ? 4 : 2).fault().map {
        UpdateFault(rule.action, $0, type, code: .malformedASPath)
      }
    case .as4Path:
      // From a 4-octet peer it is discarded whatever it holds (RFC 6793 section 4.1). Confederation segments are taken
      // out of it, the rest counts (section 6).
      guard !context.hasFourOctetAS else { return nil }
      return EncodedASPath(value).fault(allowsConfederation: true).map {
        UpdateFault(rule.action, $0, type, code: .optionalAttribute)
      }
    case .aggregator, .as4Aggregator:
      let asn = value.count == 6 ? UInt32(value.bigEndian16(at: 0)) : value.bigEndian32(at: 0)
      return asn == 0 ? UpdateFault(rule.action, .asZero, type, code: .optionalAttribute) : nil  // RFC 7607
    default:
      return nil
    }
  }
}

extension AttributeRule.Length {
  func allows(_ count: Int, _ context: UpdateContext) -> Bool {
    switch self {
    case .exactly(let length): count == length
    case .multiple(let unit): count > 0 && count % unit == 0
    case .aggregator: count == (context.hasFourOctetAS ? 8 : 6)
    case .atLeast(let length): count >= length
    }
  }
}
