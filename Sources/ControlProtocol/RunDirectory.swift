/// Where the processes of one lab meet: the names inside a lab's run directory (ARCHITECTURE.md, "Run directory").
public struct RunDirectory: Hashable, Sendable {
  /// Absolute path, without a trailing slash.
  public let path: String

  public init(path: String) {
    self.path = path
  }

  public var lock: String { path + "/lock" }
  public var pid: String { path + "/pid" }
  public var topology: String { path + "/topology.yaml" }
  public var plan: String { path + "/plan.pb" }
  public var machineSocket: String { path + "/machine.sock" }
  public var controllerSocket: String { path + "/controller.sock" }
  public var apiSocket: String { path + "/api.sock" }
  /// The root of the mesh's identities, with its key (0600).
  public var authority: String { path + "/mesh.authority" }
  /// Where the controller answers xDS.
  public var xdsSocket: String { path + "/xds.sock" }
  public var controllerState: String { path + "/controller.state" }
  public var logs: String { path + "/logs" }
  public func log(_ name: String) -> String { "\(logs)/\(name).log" }
  public func node(_ name: String) -> String { "\(path)/nodes/\(name)" }
  /// Where a node's own programs find xDS: `/run/netloom/xds.sock` there.
  public func nodeXDSSocket(_ node: String) -> String { self.node(node) + "/run/netloom/xds.sock" }
  /// Where the controller asks a pod's sidecar: `/run/netloom/admin.sock` there.
  public func sidecarSocket(_ node: String) -> String { self.node(node) + "/run/netloom/admin.sock" }
  /// Stands once the node's `exec` lines have ended.
  public func setUpMark(_ node: String) -> String { self.node(node) + "/set-up" }
  /// What stood in the node then (`NLBaseline`).
  public func baseline(_ node: String) -> String { self.node(node) + "/baseline.pb" }

  /// `sun_path` holds 108 bytes, the terminating zero included (unix(7)).
  public static let longestSocketPath = 107
}
