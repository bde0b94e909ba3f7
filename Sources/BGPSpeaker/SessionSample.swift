public import BGPCore
public import BGPWire
public import NetTypes

/// The whole speaker between two events of its loop.
public struct SpeakerSample: Sendable {
  public var isIdle: Bool
  /// Why not: `input`, `output`, `coalescing`, `stale`, `deferral`. nil when idle. (Links and the FIB are the agent's.)
  public var busyBecause: String?
  /// Grows with every UPDATE, route change and session change.
  public var activity: UInt64
  /// Version of Loc-RIB.
  public var ribVersion: UInt64
  public var ribRoutes: Int
  public var sessions: [SessionSample]
}

/// One session as it stands.
public struct SessionSample: Sendable {
  /// `NeighborConfiguration.session`.
  public var session: String
  public var neighbor: String
  public var state: SessionState
  /// The TCP 4-tuple is the session's incarnation; nil without a connection.
  public var local: Endpoint?
  public var remote: Endpoint?
  /// Counted when encoded, End-of-RIB included.
  public var updatesSent: UInt64 = 0
  /// Counted after their decision.
  public var updatesProcessed: UInt64 = 0
  public var families: [FamilySample] = []
  /// Text of the last NOTIFICATION sent or received, or of the socket error.
  public var lastError: String?
  public var isDaemon = false
  /// From the OPEN; nil before one came.
  public var remoteASN: ASNumber?
  public var remoteID: UInt32?
  /// CLOCK_BOOTTIME, milliseconds; nil when not Established.
  public var establishedAtMilliseconds: UInt64?
  /// How often the session left Established.
  public var flaps: UInt64 = 0
  public var bytesIn: UInt64 = 0
  public var bytesOut: UInt64 = 0
  /// As negotiated, seconds; 0 before an OPEN came, or when there is none.
  public var holdSeconds: UInt16 = 0
  public var keepaliveSeconds: UInt16 = 0
  /// Names of the capabilities that both ends sent.
  public var capabilities: [String] = []
  /// The peer sent capability 64, so an End-of-RIB is to be expected.
  public var peerSendsEndOfRIB = false
}

/// Counters of one family of a session.
public struct FamilySample: Sendable {
  public var family: Family
  public var endOfRIBReceived = false
  public var endOfRIBSent = false
  /// In Adj-RIB-In, after RFC 7606 handling, before policy.
  public var prefixesReceived = 0
  public var prefixesAccepted = 0
  public var prefixesSent = 0
  public var stale = 0

  public init(family: Family) { self.family = family }
}

/// Something that happened to a session, for people: `session`, `error` or `policy` lines of an event log.
public struct SpeakerEvent: Sendable {
  public enum Kind: String, Sendable { case session, error, policy }
  public var kind: Kind
  /// `NeighborConfiguration.session`, or empty for the speaker itself.
  public var session: String
  public var neighbor: String
  public var text: String
}
