/// Where each attribute of an encoded list stands. One index is made once and loaded for message after message, so that
/// reading a message allocates nothing.
///
/// The routing table keeps attribute sets in **canonical form**: ascending type, each type once, lengths in one octet
/// where they fit, unused flag bits zero, AS numbers in four octets, no MP_REACH_NLRI, MP_UNREACH_NLRI, AS4_PATH or
/// AS4_AGGREGATOR, unknown optional transitive attributes with the Partial bit set, unknown non-transitive ones gone.
/// NEXT_HOP of an IPv6 route holds sixteen octets. Most messages of a 4-octet session carry canonical lists already;
/// those are hashed and compared as they came.
public struct AttributeIndex: ~Copyable {
  /// Offset of an attribute's header by type, valid where `present` has the bit.
  private let offsets: UnsafeMutablePointer<UInt16>
  private var present = AttributeTypeSet()
  /// The list; pointers into it are handed out, so it has to outlive the use of the index.
  public private(set) var list = UnsafeRawBufferPointer(start: nil, count: 0)
  /// The list is in canonical form, for a session of this kind.
  public private(set) var isCanonical = true

  public init() {
    offsets = .allocate(capacity: 256)
    offsets.initialize(repeating: 0, count: 256)
  }

  deinit { offsets.deallocate() }

  public func contains(_ type: AttributeType) -> Bool { present.contains(type.rawValue) }

  /// Leaves the attributes out of everything that follows.
  public mutating func remove(_ types: AttributeTypeSet) {
    present.subtract(types)
    isCanonical = false
  }

  public func flags(of type: AttributeType) -> AttributeFlags {
    guard contains(type) else { return [] }
    return AttributeFlags(rawValue: list[Int(offsets[Int(type.rawValue)])])
  }

  /// For an attribute that is written anew: as it came, since a Partial bit that an earlier AS set stays (RFC 4271
  /// section 5); the registry's where there was none.
  public func flagsToWrite(_ type: AttributeType) -> AttributeFlags {
    if contains(type) { return flags(of: type) }
    return AttributeRule.table[Int(type.rawValue)]?.flags ?? [.optional, .transitive]
  }

  /// nil: not there.
  public func value(of type: AttributeType) -> UnsafeRawBufferPointer? {
    contains(type) ? value(at: Int(offsets[Int(type.rawValue)])) : nil
  }

  public func unsigned32(_ type: AttributeType) -> UInt32? {
    guard let value = value(of: type), value.count == 4 else { return nil }
    return value.bigEndian32(at: 0)
  }

  @inline(__always) private func value(at offset: Int) -> UnsafeRawBufferPointer {
    let extended = list[offset] & AttributeFlags.extendedLength.rawValue != 0
    let count = extended ? Int(list.bigEndian16(at: offset + 2)) : Int(list[offset + 2])
    let start = offset + (extended ? 4 : 3)
    return UnsafeRawBufferPointer(rebasing: list[start..<start + count])
  }

  /// Types in ascending order, those of `extra` among them.
  public func forEachType(adding extra: AttributeTypeSet = AttributeTypeSet(), _ body: (AttributeType) -> Void) {
    present.union(extra).forEach { body(AttributeType(rawValue: $0)) }
  }

  /// Reads a list that is known to be in canonical form.
  public mutating func load(canonical list: UnsafeRawBufferPointer) {
    self.list = list
    present = AttributeTypeSet()
    isCanonical = true
    var offset = 0
    while offset + 3 <= list.count {
      let type = list[offset + 1]
      offsets[Int(type)] = UInt16(truncatingIfNeeded: offset)
      present.insert(type)
      let extended = list[offset] & AttributeFlags.extendedLength.rawValue != 0
      offset += extended ? 4 + Int(list.bigEndian16(at: offset + 2)) : 3 + Int(list[offset + 2])
    }
  }

  /// Reads what a peer sent, headers only.
  /// - Returns: the strongest fault of the headers: lengths that do not fit (RFC 7606 section 4), attributes that
  ///   come again (section 3 g). What could be read is indexed all the same.
  public mutating func scan(_ list: UnsafeRawBufferPointer, _ context: UpdateContext) -> UpdateFault? {
    self.list = list
    present = AttributeTypeSet()
    isCanonical = context.hasFourOctetAS
    var fault: UpdateFault?
    var offset = 0
    var previous: UInt8 = 0
    while offset < list.count {
      let extended = list[offset] & AttributeFlags.extendedLength.rawValue != 0
      let header = extended ? 4 : 3
      guard list.count - offset >= header else {
        return fault.stronger(UpdateFault(.treatAsWithdraw, .underrun, code: .malformedAttributeList))
      }
      let type = list[offset + 1]
      let count = extended ? Int(list.bigEndian16(at: offset + 2)) : Int(list[offset + 2])
      guard list.count - offset - header >= count else {
        return fault.stronger(
          UpdateFault(.treatAsWithdraw, .overrun, AttributeType(rawValue: type), code: .attributeLength))
      }
      if present.contains(type) {
        isCanonical = false
        fault = fault.stronger(Self.repetition(AttributeType(rawValue: type)))
      } else {
        offsets[Int(type)] = UInt16(truncatingIfNeeded: offset)
        present.insert(type)
        if type <= previous || !Self.isCanonical(type, list[offset], count, context) { isCanonical = false }
        previous = type
      }
      offset += header + count
    }
    return fault
  }

  private static func repetition(_ type: AttributeType) -> UpdateFault {
    let isReach = type == .mpReach || type == .mpUnreach
    return UpdateFault(
      isReach ? .sessionReset : .attributeDiscard, .repeated, type, code: .malformedAttributeList)
  }

  @inline(__always) private static func isCanonical(
    _ type: UInt8, _ flags: UInt8, _ count: Int, _ context: UpdateContext
  ) -> Bool {
    let expected = canonicalFlags[Int(type)]
    let extended = AttributeFlags.extendedLength.rawValue
    guard expected != 0, (flags & extended != 0) == (count > 255) else { return false }
    let plain = flags & ~extended
    let partial = AttributeFlags.partial.rawValue
    guard plain == expected || (expected == 0xC0 && plain == expected | partial) else { return false }
    return !(context.isExternal && internalOnly[Int(type)])
  }

  /// Flags of an attribute in canonical form, by type; 0: never in it.
  static let canonicalFlags: [UInt8] = (0..<256).map { type in
    switch AttributeType(rawValue: UInt8(type)) {
    case .mpReach, .mpUnreach, .as4Path, .as4Aggregator: 0
    default: AttributeRule.table[type].map(\.flags.rawValue) ?? 0xE0
    }
  }

  private static let internalOnly: [Bool] = (0..<256).map { AttributeRule.table[$0]?.internalOnly ?? false }
}

/// What the reading of an UPDATE depends on besides its bytes.
public struct UpdateContext: Hashable, Sendable {
  /// Both ends sent capability 65 (RFC 6793).
  public var hasFourOctetAS: Bool
  /// The peer is in another AS.
  public var isExternal: Bool

  public init(hasFourOctetAS: Bool, isExternal: Bool) {
    self.hasFourOctetAS = hasFourOctetAS
    self.isExternal = isExternal
  }
}

extension UpdateFault? {
  /// The one with the stronger action, the earlier of equals.
  func stronger(_ other: UpdateFault?) -> UpdateFault? {
    guard let self else { return other }
    guard let other else { return self }
    return other.action > self.action ? other : self
  }
}
