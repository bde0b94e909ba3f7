/// `GET /v1/progress?seen=N&wait-ms=M`: how far `up` has come, cheap to ask for.
///
/// With `seen` the answer waits until `revision` is past N, at most M milliseconds (default 1000, most 60000).
public struct Progress: Codable, Sendable, Equatable {
  /// Grows whenever anything below changed.
  public var revision: UInt64
  /// Namespaces, links and processes stand.
  public var built: Bool
  /// Every node's `exec` has run to its end.
  public var execDone: Bool
  /// What could not be built or an `exec` that failed; nil: nothing so far.
  public var error: String?
  /// Nodes that run, and whose agent (where they have one) is connected.
  public var nodesUp: Int
  public var nodes: Int
  public var sessionsUp: Int
  /// Expected sessions, counted once per netloom speaker as in `status`.
  public var sessions: Int
  public var converged: Bool
  public var convergedBy: ConvergedBy?
  public var convergedAfterMs: Double?
  /// Why not converged; at most 20 lines.
  public var reasons: [String]
  public init(
    revision: UInt64, built: Bool, execDone: Bool, error: String?, nodesUp: Int, nodes: Int, sessionsUp: Int,
    sessions: Int, converged: Bool, convergedBy: ConvergedBy?, convergedAfterMs: Double?, reasons: [String]
  ) {
    self.revision = revision
    self.built = built
    self.execDone = execDone
    self.error = error
    self.nodesUp = nodesUp
    self.nodes = nodes
    self.sessionsUp = sessionsUp
    self.sessions = sessions
    self.converged = converged
    self.convergedBy = convergedBy
    self.convergedAfterMs = convergedAfterMs
    self.reasons = reasons
  }
}

/// `GET /v1/topology`: the lab as resolved, every address allocated.
public struct LabTopology: Codable, Sendable, Equatable {
  public var lab: String
  public var nodes: [TopologyNode]
  public var links: [TopologyLink]
  public init(lab: String, nodes: [TopologyNode], links: [TopologyLink]) {
    self.lab = lab
    self.nodes = nodes
    self.links = links
  }
}

public struct TopologyNode: Codable, Sendable, Equatable {
  public var name: String
  public var kind: String
  public var asn: UInt32?
  /// On `lo`, with prefix length.
  public var loopbacks: [String]
  /// What it originates.
  public var networks: [String]
  public var interfaces: [TopologyInterface]
  public var labels: [String: String]
  public init(
    name: String, kind: String, asn: UInt32?, loopbacks: [String], networks: [String], interfaces: [TopologyInterface],
    labels: [String: String]
  ) {
    self.name = name
    self.kind = kind
    self.asn = asn
    self.loopbacks = loopbacks
    self.networks = networks
    self.interfaces = interfaces
    self.labels = labels
  }
}

public struct TopologyInterface: Codable, Sendable, Equatable {
  public var name: String
  /// With prefix length.
  public var addresses: [String]
  /// "NODE:IFACE" of the far end.
  public var peer: String
  public init(name: String, addresses: [String], peer: String) {
    self.name = name
    self.addresses = addresses
    self.peer = peer
  }
}

public struct TopologyLink: Codable, Sendable, Equatable {
  /// "NODE:IFACE", both ends in the file's order.
  public var endpoints: [String]
  /// customer-provider | peer-peer | sibling | route-server | open; nil: none written.
  public var relation: String?
  public var cost: UInt32
  public init(endpoints: [String], relation: String?, cost: UInt32) {
    self.endpoints = endpoints
    self.relation = relation
    self.cost = cost
  }
}
