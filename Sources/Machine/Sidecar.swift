// The proxy beside a pod's programs, which asks the controller's xDS what to do:
//
//   netloom   netloom-sidecar --node POD --xds /run/netloom/xds.sock --control /run/netloom/admin.sock
//   envoy     envoy -c FILE, with a bootstrap that names the same socket and nothing else
//
// It runs in the pod's own namespaces like its programs, which wait until the controller has seen that it serves.
import ControlProtocol
import EventLoop
import Glibc
import Mesh

struct Sidecar {
  private let plan: NLNodePlan
  private let lab: LabContext

  init(_ plan: NLNodePlan, _ lab: LabContext) {
    self.plan = plan
    self.lab = lab
  }

  /// A pod with `sidecar: none` has none: its program asks for itself.
  static func isProgram(_ kind: String) -> Bool { kind == "netloom" || kind == "envoy" }

  private static let socket = "/run/netloom/xds.sock"
  private static let control = "/run/netloom/admin.sock"

  func argv() throws(BuildError) -> [String] {
    guard plan.sidecar == "envoy" else {
      return [lab.program("netloom-sidecar"), "--node", plan.name, "--xds", Self.socket, "--control", Self.control]
        + (plan.tracing.isEmpty ? [] : ["--otlp", plan.tracing]) + (plan.transparent ? ["--transparent"] : [])
    }
    guard let program = lab.find("envoy") else {
      throw BuildError("node \(plan.name): envoy is not on PATH")
    }
    do throws(SystemError) {
      for path in ["", "/run", "/run/netloom"] { try makeDirectory(lab.directory.node(plan.name) + path, mode: 0o755) }
      try SmallFile.write(
        lab.directory.node(plan.name) + "/run/netloom/envoy.json",
        XDSBootstrap.envoy(pod: plan.name, lab: lab.plan.lab, socket: Self.socket))
    } catch {
      throw BuildError(error)
    }
    return [program, "-c", "/run/netloom/envoy.json", "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
  }
}

extension LabContext {
  /// A program of others: from the PATH of `up`, or where the system keeps its own.
  func find(_ name: String, in folders: [String]? = nil) -> String? {
    let path = plan.environment.last { $0.hasPrefix("PATH=") }?.dropFirst(5) ?? ""
    let folders =
      folders ?? (path.split(separator: ":").map(String.init) + ["/usr/sbin", "/usr/bin", "/usr/local/sbin"])
    return folders.lazy.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
  }
}
