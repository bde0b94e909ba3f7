/// What is fixed about an attribute type: flags, lengths, and what a fault in it leads to.
struct AttributeRule: Sendable {
  /// Which lengths are right. AS_PATH and its like are walked besides.
  enum Length: Sendable {
    case exactly(Int)
    /// One or more units.
    case multiple(of: Int)
    /// Six octets on a 2-octet session, eight on a 4-octet one (RFC 6793 section 4.2.3).
    case aggregator
    case atLeast(Int)
  }

  /// As the IANA registry writes it.
  var name: String
  var flags: AttributeFlags
  var length: Length
  var action: UpdateFault.Action
  /// From an external peer the attribute is dropped unread (RFC 7606 sections 7.5, 7.9, 7.10).
  var internalOnly: Bool

  private init(
    _ name: String, _ flags: AttributeFlags, _ length: Length, _ action: UpdateFault.Action, internalOnly: Bool = false
  ) {
    self.name = name
    self.flags = flags
    self.length = length
    self.action = action
    self.internalOnly = internalOnly
  }

  private static let wellKnown: AttributeFlags = .transitive
  private static let transitive: AttributeFlags = [.optional, .transitive]
  private static let local: AttributeFlags = .optional

  /// One row per attribute. The actions are those of RFC 7606 sections 7.1 to 7.15; of RFC 6793 section 6 for the AS4
  /// attributes, RFC 8092 section 5 for large communities, RFC 9234 section 5 for OTC.
  private static let rows: [(AttributeType, AttributeRule)] = [
    (.origin, AttributeRule("ORIGIN", wellKnown, .exactly(1), .treatAsWithdraw)),
    (.asPath, AttributeRule("AS_PATH", wellKnown, .atLeast(0), .treatAsWithdraw)),
    (.nextHop, AttributeRule("NEXT_HOP", wellKnown, .exactly(4), .treatAsWithdraw)),
    (.med, AttributeRule("MULTI_EXIT_DISC", local, .exactly(4), .treatAsWithdraw)),
    (.localPref, AttributeRule("LOCAL_PREF", wellKnown, .exactly(4), .treatAsWithdraw, internalOnly: true)),
    (.atomicAggregate, AttributeRule("ATOMIC_AGGREGATE", wellKnown, .exactly(0), .attributeDiscard)),
    (.aggregator, AttributeRule("AGGREGATOR", transitive, .aggregator, .attributeDiscard)),
    (.communities, AttributeRule("COMMUNITIES", transitive, .multiple(of: 4), .treatAsWithdraw)),
    (.originatorID, AttributeRule("ORIGINATOR_ID", local, .exactly(4), .treatAsWithdraw, internalOnly: true)),
    (.clusterList, AttributeRule("CLUSTER_LIST", local, .multiple(of: 4), .treatAsWithdraw, internalOnly: true)),
    (.mpReach, AttributeRule("MP_REACH_NLRI", local, .atLeast(5), .treatAsWithdraw)),
    (.mpUnreach, AttributeRule("MP_UNREACH_NLRI", local, .atLeast(3), .treatAsWithdraw)),
    (.extendedCommunities, AttributeRule("EXTENDED COMMUNITIES", transitive, .multiple(of: 8), .treatAsWithdraw)),
    (.as4Path, AttributeRule("AS4_PATH", transitive, .atLeast(6), .attributeDiscard)),
    (.as4Aggregator, AttributeRule("AS4_AGGREGATOR", transitive, .exactly(8), .attributeDiscard)),
    (
      .ipv6ExtendedCommunities,
      AttributeRule(
        "IPv6 Address Specific Extended Community", transitive, .multiple(of: 20), .treatAsWithdraw)
    ),
    (.largeCommunities, AttributeRule("LARGE_COMMUNITY", transitive, .multiple(of: 12), .treatAsWithdraw)),
    (.otc, AttributeRule("OTC", transitive, .exactly(4), .treatAsWithdraw)),
  ]

  /// By type code; nil: not known to us.
  static let table: [AttributeRule?] = {
    var table = [AttributeRule?](repeating: nil, count: 256)
    for (type, rule) in rows { table[Int(type.rawValue)] = rule }
    return table
  }()
}
