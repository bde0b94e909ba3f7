public import NetTypes

/// A routing policy: statements in order; a route that reaches the end is accepted.
public struct Policy: Sendable, Equatable {
  public var name: String
  public var place: Place
  public var statements: [PolicyStatement]
}

public struct PolicyStatement: Sendable, Equatable {
  public enum Verdict: Hashable, Sendable { case next, accept, reject }

  /// nil: every route.
  public var match: PolicyMatch?
  public var set: PolicySet?
  /// Resolved: without `then`, a statement that sets something goes on, another accepts.
  public var then: Verdict
}

/// All that is not empty must hold; within a list any member.
public struct PolicyMatch: Sendable, Equatable {
  public enum Origin: String, Hashable, Sendable, CaseIterable { case local, ebgp, ibgp }

  public var prefixes: [PrefixRange] = []
  /// As FRR writes them; `_` is a boundary.
  public var asPaths: [String] = []
  public var communities: [CommunityPattern] = []
  public var largeCommunities: [LargeCommunityPattern] = []
  public var origins: [Origin] = []
  /// Node names; in a speaker file neighbor names.
  public var neighbors: [String] = []
}

/// Prefixes inside `prefix` of length `ge` to `le`; exactly `prefix` where both are its length.
public struct PrefixRange: Hashable, Sendable {
  public var prefix: IPPrefix
  public var ge: UInt8
  public var le: UInt8
}

/// RFC 1997; nil is the wildcard `*`.
public struct CommunityPattern: Hashable, Sendable {
  public var high: UInt16?
  public var low: UInt16?

  public init(high: UInt16?, low: UInt16?) {
    self.high = high
    self.low = low
  }
}

/// RFC 8092; nil is the wildcard `*`.
public struct LargeCommunityPattern: Hashable, Sendable {
  public var global: UInt32?
  public var data1: UInt32?
  public var data2: UInt32?

  public init(global: UInt32?, data1: UInt32?, data2: UInt32?) {
    self.global = global
    self.data1 = data1
    self.data2 = data2
  }
}

public struct PolicySet: Sendable, Equatable {
  public struct Prepend: Hashable, Sendable {
    /// nil: our own.
    public var asn: ASNumber?
    public var times: UInt32

    public init(asn: ASNumber?, times: UInt32) {
      self.asn = asn
      self.times = times
    }
  }

  public var localPref: UInt32?
  public var med: UInt32?
  public var prepend: Prepend?
  public var communities: CommunityChange<CommunityPattern>?
  public var largeCommunities: CommunityChange<LargeCommunityPattern>?
  public var nextHop: IPAddress?
  public var weight: UInt32?
}

/// Wildcards only in `remove`. `replace`: nil unless written; then it takes the place of all there are.
public struct CommunityChange<Pattern: Hashable & Sendable>: Sendable, Equatable {
  public var add: [Pattern] = []
  public var remove: [Pattern] = []
  public var replace: [Pattern]?
}
