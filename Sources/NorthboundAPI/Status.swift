/// The JSON of the northbound API. Keys are stable: scripts, the CLI and the scenario runner read the same documents.

/// `GET /v1/status`
public struct Status: Codable, Sendable, Equatable {
  public var lab: String
  /// The lab's init, as seen outside the lab.
  public var pid: Int32
  public var controller: ControllerStatus
  public var converged: Bool
  public var convergedBy: ConvergedBy?
  /// Milliseconds from the controller's start (or the last disturbance) until it was converged.
  public var convergedAfterMs: Double?
  /// Why not, one line per reason; empty when converged.
  public var notConverged: [String]
  public var version: UInt64
  public var nodes: [NodeStatus]
  public var sessions: [SessionStatus]
  public var links: [LinkStatus]
  public var warnings: [String]
  /// nil: the topology has none.
  public var mesh: MeshSummary?

  public init(
    lab: String, pid: Int32, controller: ControllerStatus, converged: Bool, convergedBy: ConvergedBy?,
    convergedAfterMs: Double?, notConverged: [String], version: UInt64, nodes: [NodeStatus],
    sessions: [SessionStatus], links: [LinkStatus], warnings: [String], mesh: MeshSummary? = nil
  ) {
    self.mesh = mesh
    self.lab = lab
    self.pid = pid
    self.controller = controller
    self.converged = converged
    self.convergedBy = convergedBy
    self.convergedAfterMs = convergedAfterMs
    self.notConverged = notConverged
    self.version = version
    self.nodes = nodes
    self.sessions = sessions
    self.links = links
    self.warnings = warnings
  }
}

public enum ConvergedBy: String, Codable, Sendable { case counters, quiet }

public struct ControllerStatus: Codable, Sendable, Equatable {
  public var pid: Int32
  public var state: String
  public init(pid: Int32, state: String) {
    self.pid = pid
    self.state = state
  }
}

public struct NodeStatus: Codable, Sendable, Equatable {
  public var name: String
  public var kind: String
  /// As the caller sees it: `/proc/PID/ns/net` is the node's namespace.
  public var pid: Int32
  public var asn: UInt32?
  /// starting | running | failed | stopped
  public var state: String
  /// nil: the node runs no image.
  public var container: ContainerStatus?
  public init(
    name: String, kind: String, pid: Int32, asn: UInt32?, state: String, container: ContainerStatus? = nil
  ) {
    self.name = name
    self.kind = kind
    self.pid = pid
    self.asn = asn
    self.state = state
    self.container = container
  }
}

public struct SessionStatus: Codable, Sendable, Equatable {
  public var node: String
  public var neighbor: String
  /// idle | connect | active | opensent | openconfirm | established
  public var state: String
  public var prefixesReceived: UInt64
  public var prefixesSent: UInt64
  public var interface: String?
  public var neighborAddress: String
  public var lastError: String?
  public init(
    node: String, neighbor: String, state: String, prefixesReceived: UInt64, prefixesSent: UInt64, interface: String?,
    neighborAddress: String, lastError: String?
  ) {
    self.node = node
    self.neighbor = neighbor
    self.state = state
    self.prefixesReceived = prefixesReceived
    self.prefixesSent = prefixesSent
    self.interface = interface
    self.neighborAddress = neighborAddress
    self.lastError = lastError
  }
}

public struct LinkStatus: Codable, Sendable, Equatable {
  /// "NODE:IFACE", both ends in the file's order.
  public var endpoints: [String]
  /// up | down
  public var state: String
  public init(endpoints: [String], state: String) {
    self.endpoints = endpoints
    self.state = state
  }
}

/// Every error the API answers with. `code` is stable: not-found, invalid, invalid-file, refused, conflict, timeout, unavailable, internal.
public struct APIError: Codable, Sendable, Error, Equatable {
  public var code: String
  public var message: String
  /// `invalid-file`: every mistake of the file, `FILE:LINE:COL: error: …`
  public var diagnostics: [String]?
  public init(code: String, message: String, diagnostics: [String]? = nil) {
    self.code = code
    self.message = message
    self.diagnostics = diagnostics
  }
}

/// `GET /v1/converged?timeout-ms=`: waits until converged, or answers with the reasons when the time is up.
public struct Convergence: Codable, Sendable, Equatable {
  public var converged: Bool
  public var convergedBy: ConvergedBy?
  public var afterMs: Double?
  public var reasons: [String]
  public init(converged: Bool, convergedBy: ConvergedBy?, afterMs: Double?, reasons: [String]) {
    self.converged = converged
    self.convergedBy = convergedBy
    self.afterMs = afterMs
    self.reasons = reasons
  }
}

/// `GET /v1/events?since=`: one of the lab's events, oldest first.
public struct LabEvent: Codable, Sendable, Equatable {
  public var number: UInt64
  /// RFC 3339 with nanoseconds.
  public var at: String
  public var node: String
  public var kind: String
  public var subject: String
  public var text: String
  public init(number: UInt64, at: String, node: String, kind: String, subject: String, text: String) {
    self.number = number
    self.at = at
    self.node = node
    self.kind = kind
    self.subject = subject
    self.text = text
  }
}
