public import NetTypes

/// What the whole table has to know about its speaker.
public struct TableSettings: Hashable, Sendable {
  public var asn: ASNumber
  /// Host order. Also the cluster id (RFC 4456) unless one is given.
  public var routerID: UInt32
  public var clusterID: UInt32?
  /// iBGP neighbors with `routeReflectorClient` are reflected to and from.
  public var routeReflector = false
  /// What the speaker originates, and nothing else.
  public var networks: [IPPrefix] = []
  /// Flow rules that it originates, each rule once.
  public var flowRules: [OriginatedFlowRule] = []
  public var policies: [Policy] = []
  /// Most next hops of one prefix; 0 and 1: off.
  public var multipath = 1
  /// LOCAL_PREF by relation: customer 130, peer 110, provider 90; otherwise 100 everywhere.
  public var preferCustomer = false

  public init(asn: ASNumber, routerID: UInt32) {
    self.asn = asn
    self.routerID = routerID
  }
}

/// What a table is made for, besides its settings; fixed for its life.
public struct TableOptions: Hashable, Sendable {
  /// Changes of best routes are kept for `drainFIB`.
  public var tracksFIB = false
  /// Every next hop is reachable at cost 0: for a speaker that has no view of the kernel's routes.
  public var assumesNextHopsReachable = false
  /// Seeds the hash tables, so that a neighbor cannot choose what collides. Results never depend on it.
  public var hashSeed: UInt64 = 0x9E37_79B9_7F4A_7C15

  public init() {}
}

/// A route that BGP next hops resolve through: connected, static or computed by the controller; never one of BGP's own.
public struct UnderlayRoute: Hashable, Sendable {
  public var prefix: IPPrefix
  /// The igp-cost of next hops that this route covers; 0 for connected ones.
  public var cost: UInt32
  /// A subnet of one of our interfaces.
  public var onLink: Bool

  public init(prefix: IPPrefix, cost: UInt32, onLink: Bool) {
    self.prefix = prefix
    self.cost = cost
    self.onLink = onLink
  }
}
