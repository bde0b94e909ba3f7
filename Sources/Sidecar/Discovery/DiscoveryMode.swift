import CLinux
import EventLoop
import Glibc
import Mesh
import NetTypes

/// What the command line says of a sidecar that follows a control plane.
struct DiscoveryMode {
  /// The pod's name.
  var node = ""
  /// Path of the control plane's unix socket.
  var socket = ""
  var workers = 1
  var admin = SocketAddress(.v4(IPv4Address(rawValue: 0x7F00_0001)), 15000)
  /// Path of the unix socket where the controller asks; empty: none.
  var control = ""
  var accessLog = false
  var isTransparent = false
  var tracing: Tracing?

  static let usage = """
    usage: netloom-sidecar --node POD --xds PATH [--control PATH] [--workers N] [--admin IP:PORT] [--access-log]
             [--transparent] [--otlp http://IP:PORT[/PATH][,PERCENT]]
    """

  init(_ arguments: [String]) throws(StaticMode.UsageError) {
    var rest = arguments[...]
    while let option = rest.popFirst() {
      switch option {
      case "--access-log":
        accessLog = true
        continue
      case "--transparent":
        isTransparent = true
        continue
      default: break
      }
      guard let value = rest.popFirst() else { throw StaticMode.UsageError(text: "\(option): a value is missing") }
      switch option {
      case "--node": node = value
      case "--xds": socket = value.hasPrefix("unix:") ? String(value.dropFirst(5)) : value
      case "--control": control = value
      case "--otlp": tracing = try StaticMode.tracing(value)
      case "--workers":
        guard let count = Int(value), (1...64).contains(count) else {
          throw StaticMode.UsageError(text: "--workers \(value): 1 to 64")
        }
        workers = count
      case "--admin":
        guard let address = SocketAddress(value) else {
          throw StaticMode.UsageError(text: "--admin \(value): not IP:PORT")
        }
        admin = address
      default: throw StaticMode.UsageError(text: "\(option): unknown")
      }
    }
    guard !node.isEmpty, !socket.isEmpty else { throw StaticMode.UsageError(text: "--node and --xds are needed") }
  }

  /// What the control plane has no say in.
  func base(mark: UInt32) -> SidecarConfiguration {
    var base = SidecarConfiguration()
    base.pod = node
    base.mark = mark
    base.transparentMark = isTransparent ? SidecarPorts.transparentMark : 0
    base.accessLog = accessLog ? .standardOutput : .off
    return base
  }

  /// The mark, or 0 where this process may not set one (CAP_NET_ADMIN).
  static func availableMark() -> UInt32 {
    let socket = nl_tcp_socket(4)
    guard socket >= 0 else { return 0 }
    defer { _ = Glibc.close(socket) }
    let mark = SidecarPorts.mark
    var value = mark
    return setsockopt(socket, SOL_SOCKET, SO_MARK, &value, socklen_t(MemoryLayout<UInt32>.size)) == 0 ? mark : 0
  }
}
