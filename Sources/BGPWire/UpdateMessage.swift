public import NetTypes

/// An UPDATE (RFC 4271 section 4.3) as values, for tests and tools. The routing table reads and writes bytes.
public struct UpdateMessage: Hashable, Sendable {
  public var withdrawn: [IPPrefix] = []
  /// All of one family; their attributes' next hop is of that family too.
  public var announced: [IPPrefix] = []
  /// Flow rules, all of one family. An UPDATE of ours holds either prefixes or rules.
  public var withdrawnRules: [FlowRule] = []
  public var announcedRules: [FlowRule] = []
  /// nil when nothing is announced.
  public var attributes: PathAttributes?

  public init(withdrawn: [IPPrefix] = [], announced: [IPPrefix] = [], attributes: PathAttributes? = nil) {
    self.withdrawn = withdrawn
    self.announced = announced
    self.attributes = attributes
  }

  /// RFC 4724 section 2: nothing at all for IPv4, an empty MP_UNREACH_NLRI for other families.
  public static func endOfRIB(_ family: Family) -> [UInt8] {
    guard family != .ipv4Unicast else { return UpdateMessage().encode() }
    return message(
      withdrawn: [], attributes: [0x80, AttributeType.mpUnreach.rawValue, 3] + head(family), nlri: [])
  }

  private static func head(_ family: Family) -> [UInt8] {
    [UInt8(family.afi.rawValue >> 8), UInt8(family.afi.rawValue & 255), family.safi.rawValue]
  }

  /// Flow rules, with attributes as they leave (RFC 8955 section 4: no next hop).
  /// - Parameter nextHop: what a redirect points to.
  public static func flowRules(
    _ rules: [FlowRule], _ family: Family, nextHop: UnsafeRawBufferPointer, attributes list: UnsafeRawBufferPointer
  ) -> [UInt8] {
    let reach = head(family) + [UInt8(truncatingIfNeeded: nextHop.count)] + nextHop + [0] + rules.flatMap(\.nlri)
    return message(withdrawn: [], attributes: attribute(.mpReach, reach) + list, nlri: [])
  }

  /// Octets of such a message without rules and without its two variable parts.
  public static let flowRulesOverhead = MessageHeader.size + 4 + 4 + 5

  public static func flowRulesWithdrawn(_ rules: [FlowRule], _ family: Family) -> [UInt8] {
    message(withdrawn: [], attributes: attribute(.mpUnreach, head(family) + rules.flatMap(\.nlri)), nlri: [])
  }

  /// The whole message, of a 4-octet session. IPv4 goes into the classic fields, IPv6 into MP_REACH_NLRI and
  /// MP_UNREACH_NLRI, which stand first (RFC 7606 section 5.1).
  public func encode() -> [UInt8] {
    var list: [UInt8] = []
    let withdrawn6 = Self.nlri(withdrawn, .ipv6)
    for family in Family.flowSpec {
      let rules = withdrawnRules.filter { $0.family == family.addressFamily }.flatMap(\.nlri)
      if !rules.isEmpty { list += Self.attribute(.mpUnreach, Self.head(family) + rules) }
    }
    if !withdrawn6.isEmpty { list += Self.attribute(.mpUnreach, [0, 2, 1] + withdrawn6) }
    let announced6 = Self.nlri(announced, .ipv6)
    if var attributes {
      if let family = announcedRules.first?.family {
        let nextHop = attributes.nextHop?.bytes ?? []
        list += Self.attribute(
          .mpReach,
          Self.head(Family(flowSpec: family)) + [UInt8(nextHop.count)] + nextHop + [0]
            + announcedRules.flatMap(\.nlri))
        attributes.nextHop = nil
      }
      if !announced6.isEmpty {
        let nextHop = attributes.nextHop?.bytes ?? []
        list += Self.attribute(.mpReach, [0, 2, 1, UInt8(nextHop.count)] + nextHop + [0] + announced6)
        attributes.nextHop = nil
      }
      list += attributes.encodeCanonical()
    }
    return Self.message(
      withdrawn: Self.nlri(withdrawn, .ipv4), attributes: list, nlri: Self.nlri(announced, .ipv4))
  }

  private static func attribute(_ type: AttributeType, _ value: [UInt8]) -> [UInt8] {
    [0x90, type.rawValue, UInt8(value.count >> 8), UInt8(value.count & 255)] + value
  }

  private static func nlri(_ prefixes: [IPPrefix], _ family: AddressFamily) -> [UInt8] {
    prefixes.filter { $0.family == family }.flatMap { prefix in
      [prefix.length] + prefix.address.bytes.prefix((Int(prefix.length) + 7) / 8)
    }
  }

  private static func message(withdrawn: [UInt8], attributes: [UInt8], nlri: [UInt8]) -> [UInt8] {
    MessageHeader.message(.update) {
      $0.appendBigEndian(UInt16(withdrawn.count))
      $0 += withdrawn
      $0.appendBigEndian(UInt16(attributes.count))
      $0 += attributes
      $0 += nlri
    }
  }

  /// From the body behind the header. Families other than ours are skipped; attributes come out merged (RFC 6793) and
  /// without what RFC 7606 discards.
  /// - Throws: what does not let the routes stand: a withdraw or a session reset.
  public init(decoding body: UnsafeRawBufferPointer, _ context: UpdateContext) throws(UpdateFault) {
    let sections = try UpdateSections(body)
    guard NLRIReader.count(sections.withdrawn, .ipv4Unicast) != nil else {
      throw UpdateFault(.sessionReset, .withdrawnSyntax, code: .malformedAttributeList)
    }
    guard NLRIReader.count(sections.nlri, .ipv4Unicast) != nil else {
      throw UpdateFault(.sessionReset, .nlriSyntax, code: .invalidNetworkField)
    }
    withdrawn = Self.prefixes(sections.withdrawn, .ipv4Unicast)
    announced = Self.prefixes(sections.nlri, .ipv4Unicast)
    var index = AttributeIndex()
    let fault = index.scan(sections.attributes, context).stronger(index.validate(context))
    if let fault, fault.action != .attributeDiscard { throw fault }
    if let value = index.value(of: .mpUnreach) {
      let unreach = try MultiprotocolUnreach(value)
      if let family = unreach.family {
        if family.isFlowSpec {
          withdrawnRules = try Self.rules(unreach.nlri, family)
        } else {
          withdrawn += Self.prefixes(unreach.nlri, family)
        }
      }
    }
    var nextHop: IPAddress?
    if let value = index.value(of: .mpReach) {
      let reach = try MultiprotocolReach(value)
      if let family = reach.family {
        if family.isFlowSpec {
          announcedRules = try Self.rules(reach.nlri, family)
        } else {
          announced += Self.prefixes(reach.nlri, family)
        }
      }
      nextHop = reach.nextHop
    }
    guard !announced.isEmpty || !announcedRules.isEmpty else { return }
    if let missing = index.missing(needsNextHop: nextHop == nil && announcedRules.isEmpty) { throw missing }
    attributes = Self.attributes(index, context, nextHop)
  }

  private static func prefixes(_ bytes: UnsafeRawBufferPointer, _ family: Family) -> [IPPrefix] {
    var reader = NLRIReader(bytes, family)
    var result: [IPPrefix] = []
    while let key = reader.next() { result.append(key.prefix(family)) }
    return result
  }

  private static func rules(_ bytes: UnsafeRawBufferPointer, _ family: Family) throws(UpdateFault) -> [FlowRule] {
    do {
      return try FlowRule.list(bytes, family.addressFamily)
    } catch {
      throw UpdateFault(.sessionReset, .nlriSyntax, code: .optionalAttribute)
    }
  }

  private static func attributes(
    _ index: borrowing AttributeIndex, _ context: UpdateContext, _ nextHop: IPAddress?
  ) -> PathAttributes {
    let scratch = UnsafeMutableRawPointer.allocate(byteCount: index.canonicalCapacity, alignment: 8)
    defer { scratch.deallocate() }
    let count = index.encodeCanonical(context, nextHop: nextHop, to: scratch)
    return PathAttributes(canonical: UnsafeRawBufferPointer(start: scratch, count: count))
  }
}
