public import NetTypes

/// The attributes of a route as values: for questions, tests and tools. The routing table works on the encoded form.
public struct PathAttributes: Hashable, Sendable {
  /// RFC 4271 section 5.1.1.
  public enum Origin: UInt8, Hashable, Sendable {
    case igp = 0
    case egp = 1
    case incomplete = 2
  }

  /// An attribute whose value is carried and not looked at.
  public struct Opaque: Hashable, Sendable {
    public var flags: AttributeFlags
    public var type: AttributeType
    public var value: [UInt8]

    public init(flags: AttributeFlags, type: AttributeType, value: [UInt8]) {
      self.flags = flags
      self.type = type
      self.value = value
    }
  }

  public struct Aggregator: Hashable, Sendable {
    public var asn: ASNumber
    public var address: IPv4Address

    public init(asn: ASNumber, address: IPv4Address) {
      self.asn = asn
      self.address = address
    }
  }

  public var origin: Origin = .igp
  public var asPath = ASPath()
  /// NEXT_HOP, or the global address of MP_REACH_NLRI.
  public var nextHop: IPAddress?
  public var med: UInt32?
  public var localPref: UInt32?
  public var atomicAggregate = false
  public var aggregator: Aggregator?
  public var communities: [Community] = []
  public var originatorID: UInt32?
  public var clusterList: [UInt32] = []
  public var largeCommunities: [LargeCommunity] = []
  /// RFC 9234.
  public var otc: ASNumber?
  /// Extended communities and what we do not know, in order of type.
  public var others: [Opaque] = []

  public init() {}
}

/// An AS path as segments (RFC 4271 section 4.3, RFC 5065).
public struct ASPath: Hashable, Sendable {
  public struct Segment: Hashable, Sendable {
    public enum Kind: UInt8, Hashable, Sendable {
      case set = 1
      case sequence = 2
      case confederationSequence = 3
      case confederationSet = 4
    }
    public var kind: Kind
    public var asns: [ASNumber]

    public init(_ kind: Kind, _ asns: [ASNumber]) {
      self.kind = kind
      self.asns = asns
    }
  }

  public var segments: [Segment]

  public init(_ segments: [Segment] = []) { self.segments = segments }
  /// One AS_SEQUENCE; empty for no numbers.
  public init(sequence asns: [ASNumber]) { segments = asns.isEmpty ? [] : [Segment(.sequence, asns)] }

  /// For the decision process: a set counts one, confederation segments nothing (RFC 4271 section 9.1.2.2 a, RFC 5065
  /// section 5.3).
  public var length: Int {
    segments.reduce(0) {
      switch $1.kind {
      case .sequence: $0 + $1.asns.count
      case .set: $0 + 1
      case .confederationSequence, .confederationSet: $0
      }
    }
  }

  /// Every number, sets included, in the order they stand.
  public var asns: [ASNumber] { segments.flatMap(\.asns) }
}

extension ASPath: CustomStringConvertible {
  /// As FRR writes it: `65001 65002 {65003,65004} (65010) [65011,65012]`.
  public var description: String {
    segments.map { segment in
      let numbers = segment.asns.map(\.description)
      return switch segment.kind {
      case .sequence: numbers.joined(separator: " ")
      case .set: "{" + numbers.joined(separator: ",") + "}"
      case .confederationSequence: "(" + numbers.joined(separator: " ") + ")"
      case .confederationSet: "[" + numbers.joined(separator: ",") + "]"
      }
    }.joined(separator: " ")
  }
}
