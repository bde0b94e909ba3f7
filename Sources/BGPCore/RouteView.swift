public import BGPWire
public import NetTypes

/// One path of one prefix as people see it. Built for questions, never kept.
public struct RouteView: Sendable, Equatable {
  public var prefix: IPPrefix
  public var isBest = false
  /// Installed beside the best.
  public var isMultipath = false
  /// `PeerIndex.local`: originated here.
  public var peer: PeerIndex
  /// `PeerSettings.name` and `.session`; empty: originated here.
  public var neighbor = ""
  public var session = ""
  public var peerRouterID: UInt32 = 0
  public var isFromIBGP = false
  /// nil: originated here.
  public var nextHop: IPAddress?
  /// After import policy; the internal relation tag (`RelationTag`) is left out.
  public var attributes: PathAttributes
  public var weight: UInt32 = 0
  /// nil: next hop not resolved.
  public var igpCost: UInt32?
  public var isStale = false
  /// By import policy or the relation's filter; kept for show, explain and the next policy.
  public var isRejected = false
  /// nil: takes part in the decision.
  public var unusableBecause: String?
  /// On the best: the rule that decided. On others: the rule that they lost by.
  public var because: BestPathReason?
}

/// Which routes to show.
public struct RouteQuery: Sendable, Hashable {
  public var family: Family?
  /// This prefix and the more specific ones; nil: all.
  public var within: IPPrefix?
  /// Only what these neighbors sent (Adj-RIB-In); empty: all.
  public var peers: [PeerIndex] = []
  public var offset = 0
  public var limit = 1000

  public init() {}
}

/// Why the best path of one prefix won.
public struct RouteExplanation: Sendable, Equatable {
  public struct Comparison: Sendable, Equatable {
    /// Indexes into `candidates`.
    public var winner: Int
    public var loser: Int
    public var because: BestPathReason
    /// For people, e.g. `64500 over 64496 64500`.
    public var detail: String
  }

  public var prefix: IPPrefix
  /// Best first, then what lost, then what could not take part.
  public var candidates: [RouteView]
  public var comparisons: [Comparison]
}

/// Counters of one family of one neighbor.
public struct FamilyCounters: Sendable, Equatable {
  /// In Adj-RIB-In, after RFC 7606 handling, before policy.
  public var received = 0
  public var accepted = 0
  /// Announced and not withdrawn since.
  public var sent = 0
  public var stale = 0
  public var endOfRIBReceived = false
  public var endOfRIBSent = false
}
