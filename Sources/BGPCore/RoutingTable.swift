public import BGPWire
public import NetTypes

public struct RoutingTable: ~Copyable {
  public init(settings: TableSettings, options: TableOptions = TableOptions()) { fatalError() }


  public mutating func reconfigure(_ settings: TableSettings) { fatalError() }
  public mutating func addPeer(_ settings: PeerSettings) -> PeerIndex { fatalError() }
  /// Changed policies are evaluated again over the routes that are held; nothing is asked of the neighbor.
  public mutating func updatePeer(_ peer: PeerIndex, _ settings: PeerSettings) { fatalError() }
  /// Drops its routes; the index may be given to another neighbor later.
  public mutating func removePeer(_ peer: PeerIndex) { fatalError() }

  // Sessions
  public mutating func sessionUp(_ peer: PeerIndex, _ negotiated: Negotiated) { fatalError() }
  /// Routes of `retainingStale` stay, marked stale (RFC 4724 section 4.2); the others are withdrawn.
  public mutating func sessionDown(_ peer: PeerIndex, retainingStale: FamilySet = []) { fatalError() }
  /// Withdraws what is still stale.
  public mutating func sweepStale(_ peer: PeerIndex, _ family: Family) { fatalError() }
  /// ROUTE-REFRESH received: everything is announced again.
  public mutating func sendAgain(_ peer: PeerIndex, _ family: Family) { fatalError() }
  /// Restarting speaker (RFC 4724 section 4.1): no decision is made until `endDeferral`.
  public mutating func beginDeferral() { fatalError() }
  public mutating func endDeferral() { fatalError() }
  public var isDeferring: Bool { fatalError() }

  /// What next hops resolve through, whole. `ownAddresses`: a next hop that is one of them makes a route unusable.
  public mutating func setUnderlay(_ routes: [UnderlayRoute], ownAddresses: [IPAddress]) { fatalError() }

  /// The body of an UPDATE, behind the 19-octet header.
  public mutating func receive(update body: UnsafeRawBufferPointer, from peer: PeerIndex) -> UpdateOutcome { fatalError() }

  /// Decides for at most `budget` prefixes. true: more remain.
  public mutating func process(budget: Int) -> Bool { fatalError() }
  /// `process` has work.
  public var hasWork: Bool { fatalError() }

  /// Whole UPDATE messages, until nothing is left or at least `limit` bytes are in this call's share.
  /// - Returns: how many were written, and whether more wait.
  public mutating func writeMessages(
    for peer: PeerIndex, into output: inout OutputBuffer, limit: Int
  ) -> (messages: Int, more: Bool) { fatalError() }
  /// `writeMessages` has something to write.
  public func hasOutput(for peer: PeerIndex) -> Bool { fatalError() }

  /// Grows by one with every change of a best route (or of the set of equal ones).
  public var version: UInt64 { fatalError() }
  /// Hands over what changed since it was last called, at most `limit` prefixes. true: more remain.
  public mutating func drainFIB(limit: Int, _ body: (FIBChange) -> Void) -> Bool { fatalError() }
  public var hasFIBChanges: Bool { fatalError() }
  public func nextHops(of set: NextHopSet) -> [IPAddress] { fatalError() }
  /// Every best route is handed over again by `drainFIB`.
  public mutating func replayFIB() { fatalError() }

  // Questions
  public func routes(_ query: RouteQuery) -> (routes: [RouteView], total: Int) { fatalError() }
  public func explain(_ destination: IPPrefix) -> RouteExplanation? { fatalError() }
  public func counters(_ peer: PeerIndex, _ family: Family) -> FamilyCounters { fatalError() }
  /// Prefixes with a best route.
  public var bestCount: Int { fatalError() }
  /// Grows with every UPDATE and every change of a route.
  public var activity: UInt64 { fatalError() }
}

/// A set of next hops, interned: equal sets have equal numbers for the life of the table.
public struct NextHopSet: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// Nothing to forward to: the route is gone, or we originate it.
  public static let none = NextHopSet(rawValue: 0)
}

public struct FIBChange: Hashable, Sendable {
  public var prefix: IPPrefix
  public var nextHops: NextHopSet
}

/// What one UPDATE led to.
public enum UpdateOutcome: Sendable, Equatable {
  case accepted
  /// RFC 4724 section 2.
  case endOfRIB(Family)
  /// Accepted without the attributes at fault (RFC 7606 section 2).
  case attributesDiscarded(UpdateFault)
  /// The announced routes were withdrawn instead (RFC 7606 section 2).
  case treatedAsWithdraw(UpdateFault)
  /// End the session with this NOTIFICATION.
  case sessionReset(Notification, UpdateFault)
  /// More prefixes than `PeerSettings.maxPrefix`: end the session with this Cease (RFC 4486).
  case maxPrefixesExceeded(Notification)
}
