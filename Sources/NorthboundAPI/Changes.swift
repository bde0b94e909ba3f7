/// `POST /v1/plan` and `POST /v1/apply`: a CHANGE, a partial topology file as text.
public struct ChangeRequest: Codable, Sendable, Equatable {
  /// What diagnostics call it.
  public var file: String
  /// YAML.
  public var text: String
  /// Who; for the history. nil: the user the controller runs for.
  public var author: String?
  /// apply: rolled back by itself unless confirmed within this time; nil: final at once.
  public var confirmWithinMs: Int64?
  /// apply: validate on every node, then change nothing.
  public var dryRun: Bool?

  public init(
    file: String, text: String, author: String? = nil, confirmWithinMs: Int64? = nil, dryRun: Bool? = nil
  ) {
    self.file = file
    self.text = text
    self.author = author
    self.confirmWithinMs = confirmWithinMs
    self.dryRun = dryRun
  }
}

/// What a change does, rule by rule, on the nodes it touches.
public struct ChangePlan: Codable, Sendable, Equatable {
  /// The version that the plan starts from.
  public var version: Int
  /// Only nodes where something changes, in the order of the topology.
  public var nodes: [NodeChanges]
  /// `FILE:LINE:COL: warning: …`
  public var warnings: [String]
  /// What changes of the mesh, on all of its sidecars.
  public var mesh: [ObjectChange]

  public init(version: Int, nodes: [NodeChanges], warnings: [String], mesh: [ObjectChange] = []) {
    self.version = version
    self.nodes = nodes
    self.warnings = warnings
    self.mesh = mesh
  }

  public var isEmpty: Bool { nodes.isEmpty && mesh.isEmpty }
}

public struct NodeChanges: Codable, Sendable, Equatable {
  public var node: String
  public var changes: [ObjectChange]

  public init(node: String, changes: [ObjectChange]) {
    self.node = node
    self.changes = changes
  }
}

public struct ObjectChange: Codable, Sendable, Equatable {
  public enum Action: String, Codable, Sendable { case add, remove, change }

  public var action: Action
  /// nat, filter, qos, path, flowspec, routes, networks, bgp, policies, congestion; of the mesh: mtls, authorization,
  /// service, route
  public var section: String
  /// One line, as the file would write it. Of `change`: how it will be.
  public var what: String
  /// Of `change`: how it was.
  public var was: String?
  /// FILE:LINE:COL of what is added or changed.
  public var place: String?

  public init(action: Action, section: String, what: String, was: String? = nil, place: String? = nil) {
    self.action = action
    self.section = section
    self.what = what
    self.was = was
    self.place = place
  }
}

/// Answer to apply and rollback: it holds on every node.
public struct ChangeResult: Codable, Sendable, Equatable {
  /// The new version; of a dry run and of a change that changes nothing the present one.
  public var version: Int
  public var applied: Bool
  public var plan: ChangePlan
  /// RFC 3339; set: rolled back then unless confirmed.
  public var confirmBy: String?
  /// From request to the last node's answer.
  public var milliseconds: Double

  public init(version: Int, applied: Bool, plan: ChangePlan, confirmBy: String? = nil, milliseconds: Double) {
    self.version = version
    self.applied = applied
    self.plan = plan
    self.confirmBy = confirmBy
    self.milliseconds = milliseconds
  }
}

/// `POST /v1/rollback`
public struct RollbackRequest: Codable, Sendable, Equatable {
  /// nil: the version before the current one.
  public var version: Int?
  public var author: String?

  public init(version: Int? = nil, author: String? = nil) {
    self.version = version
    self.author = author
  }
}

/// One entry of `GET /v1/history`, newest first.
public struct VersionEntry: Codable, Sendable, Equatable {
  public var version: Int
  /// RFC 3339, UTC, milliseconds.
  public var at: String
  /// In words: `up FILE`, `apply FILE`, `rollback to 3`, `rollback to 3 (not confirmed within 60 s)`.
  public var change: String
  public var current: Bool
  public var author: String
  /// Lines as `plan` prints them, against the version before.
  public var diff: [String]
  /// RFC 3339; set while it waits to be confirmed.
  public var confirmBy: String?

  public init(
    version: Int, at: String, change: String, current: Bool, author: String, diff: [String], confirmBy: String? = nil
  ) {
    self.version = version
    self.at = at
    self.change = change
    self.current = current
    self.author = author
    self.diff = diff
    self.confirmBy = confirmBy
  }
}

/// `GET /v1/drift`, and what is left after `POST /v1/drift/repair`.
public struct Drift: Codable, Sendable, Equatable {
  public var lab: String
  public var drift: [DriftEntry]
  /// Tables and routes of others: left alone.
  public var foreign: [DriftEntry]
  /// Nodes that could not be asked, with the reason.
  public var unknown: [String]
  /// Repair: what was mended.
  public var repaired: [DriftEntry]?

  public init(
    lab: String, drift: [DriftEntry], foreign: [DriftEntry], unknown: [String], repaired: [DriftEntry]? = nil
  ) {
    self.lab = lab
    self.drift = drift
    self.foreign = foreign
    self.unknown = unknown
    self.repaired = repaired
  }
}

public struct DriftEntry: Codable, Sendable, Equatable, Hashable {
  public enum Kind: String, Codable, Sendable { case missing, changed, excess, foreign }

  public var node: String
  public var kind: Kind
  /// nft | tc | route | address | rule | sysctl
  public var type: String
  public var what: String

  public init(node: String, kind: Kind, type: String, what: String) {
    self.node = node
    self.kind = kind
    self.type = type
    self.what = what
  }
}
