public import BGPWire
public import NetTypes

/// A named list of statements, in order; what no statement decides is accepted.
public struct Policy: Hashable, Sendable {
  public var name: String
  public var statements: [Statement]

  public init(name: String, statements: [Statement]) {
    self.name = name
    self.statements = statements
  }
}

public struct Statement: Hashable, Sendable {
  public enum Verdict: UInt8, Hashable, Sendable {
    /// Go on with the next statement.
    case next
    case accept
    case reject
  }

  public var match: Match
  public var set: SetActions
  public var then: Verdict

  public init(match: Match = Match(), set: SetActions = SetActions(), then: Verdict) {
    self.match = match
    self.set = set
    self.then = then
  }
}

/// All that is not empty must hold; of a list, any one.
public struct Match: Hashable, Sendable {
  public var prefixes: [PrefixRange] = []
  public var asPaths: [ASPathPattern] = []
  public var communities: [CommunityPattern] = []
  public var largeCommunities: [LargeCommunityPattern] = []
  public var origins: [RouteOrigin] = []
  /// `PeerSettings.name` of where the route came from on import, of where it goes on export.
  public var neighbors: [String] = []

  public init() {}
}

/// Prefixes inside `prefix` whose length is from `ge` to `le`.
public struct PrefixRange: Hashable, Sendable {
  public var prefix: IPPrefix
  public var ge: UInt8
  public var le: UInt8

  public init(prefix: IPPrefix, ge: UInt8, le: UInt8) {
    self.prefix = prefix
    self.ge = ge
    self.le = le
  }

  public func contains(_ other: IPPrefix) -> Bool {
    (ge...max(ge, le)).contains(other.length) && prefix.contains(other)
  }
}

/// Where a route entered this speaker.
public enum RouteOrigin: UInt8, Hashable, Sendable, BitwiseCopyable {
  case local
  case ebgp
  case ibgp
}

/// nil parts match any number.
public struct CommunityPattern: Hashable, Sendable {
  public var high: UInt16?
  public var low: UInt16?

  public init(high: UInt16?, low: UInt16?) {
    self.high = high
    self.low = low
  }

  public func matches(_ community: Community) -> Bool {
    (high == nil || high == community.high) && (low == nil || low == community.low)
  }
}

/// nil parts match any number.
public struct LargeCommunityPattern: Hashable, Sendable {
  public var global: UInt32?
  public var data1: UInt32?
  public var data2: UInt32?

  public init(global: UInt32?, data1: UInt32?, data2: UInt32?) {
    self.global = global
    self.data1 = data1
    self.data2 = data2
  }

  public func matches(_ community: LargeCommunity) -> Bool {
    (global == nil || global == community.global) && (data1 == nil || data1 == community.data1)
      && (data2 == nil || data2 == community.data2)
  }
}

/// What a statement changes, in this order: replace, remove, add for communities.
public struct SetActions: Hashable, Sendable {
  public var localPref: UInt32?
  public var med: UInt32?
  public var prependTimes = 0
  /// nil: our own number.
  public var prependASN: ASNumber?
  public var replaceCommunities: [Community]?
  public var removeCommunities: [CommunityPattern] = []
  public var addCommunities: [Community] = []
  public var replaceLargeCommunities: [LargeCommunity]?
  public var removeLargeCommunities: [LargeCommunityPattern] = []
  public var addLargeCommunities: [LargeCommunity] = []
  public var nextHop: IPAddress?
  public var weight: UInt32?

  public init() {}
}

extension ASPathPattern {
  /// Against the path as people write it.
  func matches(_ path: ASPath) -> Bool { matches(Array(path.description.utf8)) }
}
