// The proxy beside a pod's programs, which asks the controller's xDS what to do:
//
//   netloom   netloom-sidecar --node POD --xds /run/netloom/xds.sock --control /run/netloom/admin.sock
//   envoy     envoy -c FILE, with a bootstrap that names the same socket and nothing else
//
// It runs in the pod's own namespaces like its programs, which wait until the controller has seen that it serves.
import ControlProtocol
import EventLoop
import Glibc

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
  /// Of what a sidecar sends itself: interception leaves it alone.
  private static let mark = 0x4E4D

  func argv() throws(BuildError) -> [String] {
    guard plan.sidecar == "envoy" else {
      return [lab.program("netloom-sidecar"), "--node", plan.name, "--xds", Self.socket, "--control", Self.control]
    }
    guard let program = lab.find("envoy") else {
      throw BuildError("node \(plan.name): envoy is not on PATH")
    }
    do throws(SystemError) {
      for path in ["", "/run", "/run/netloom"] { try makeDirectory(lab.directory.node(plan.name) + path, mode: 0o755) }
      try SmallFile.write(lab.directory.node(plan.name) + "/run/netloom/envoy.json", bootstrap)
    } catch {
      throw BuildError(error)
    }
    return [program, "-c", "/run/netloom/envoy.json", "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
  }

  /// Envoy's bootstrap (envoy.config.bootstrap.v3.Bootstrap): who it is, and where it gets everything else from.
  private var bootstrap: String {
    """
    {
      "node": {"id": "\(plan.name)", "cluster": "\(plan.name)"},
      "cluster_manager": {
        "upstream_bind_config": {
          "socket_options": [{"level": \(SOL_SOCKET), "name": \(SO_MARK), "int_value": \(Self.mark), "state": "STATE_PREBIND"}]
        }
      },
      "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
      "dynamic_resources": {
        "ads_config": {
          "api_type": "GRPC", "transport_api_version": "V3",
          "grpc_services": [{"envoy_grpc": {"cluster_name": "netloom-xds"}}]
        },
        "cds_config": {"ads": {}, "resource_api_version": "V3"},
        "lds_config": {"ads": {}, "resource_api_version": "V3"}
      },
      "static_resources": {
        "clusters": [{
          "name": "netloom-xds", "type": "STATIC", "connect_timeout": "5s",
          "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
              "explicit_http_config": {"http2_protocol_options": {}}
            }
          },
          "load_assignment": {
            "cluster_name": "netloom-xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "\(Self.socket)"}}}}]}]
          }
        }]
      }
    }

    """
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
