import CLinux
import ControlProtocol
import EventLoop
import Glibc

/// Sockets that listen on the machine's loopback, opened by the outer parent while it still stands in the machine's
/// network; a listening socket keeps the network it was opened in, whoever accepts from it.
struct PublishedPorts {
  struct Port {
    var listeners: [Int32]
    var inner: UInt32
  }

  /// By node.
  private(set) var ports: [String: [Port]] = [:]
  /// For the API over TCP, where it was asked for; -1: it was not.
  private(set) var api: Int32 = -1

  /// Opens what the plan publishes: 127.0.0.1, and ::1 where the machine has it.
  init(_ plan: NLMachinePlan) throws(BuildError) {
    for node in plan.nodes {
      for port in node.publish {
        let what = "publish of \(node.name): port \(port.outer) of the machine's loopback"
        ports[node.name, default: []].append(Port(listeners: try Self.open(port.outer, what), inner: port.inner))
      }
    }
    if plan.apiPort != 0 { api = try Self.open(plan.apiPort, "the API's port \(plan.apiPort)", both: false)[0] }
  }

  /// In the process that does not accept.
  func close() {
    for port in ports.values.joined() { for listener in port.listeners { _ = Glibc.close(listener) } }
    if api >= 0 { _ = Glibc.close(api) }
  }

  private static func open(_ port: UInt32, _ what: String, both: Bool = true) throws(BuildError) -> [Int32] {
    do throws(SystemError) {
      let ipv4 = try listener([127, 0, 0, 1], UInt16(clamping: port))
      guard both else { return [ipv4] }
      do throws(SystemError) {
        return [ipv4, try listener([UInt8](repeating: 0, count: 15) + [1], UInt16(clamping: port))]
      } catch  where error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL {
        return [ipv4]
      }
    } catch {
      let hint = error.code == EACCES ? "; an ordinary user's must be 1024 or more" : ""
      throw BuildError("\(what): \(error.text)\(hint)")
    }
  }

  private static func listener(_ address: [UInt8], _ port: UInt16) throws(SystemError) -> Int32 {
    let socket = FileDescriptor(owning: try systemCall("socket") { nl_tcp_socket(Int32(address.count)) })
    let raw = socket.rawValue
    try systemCall("setsockopt", "SO_REUSEADDR") { nl_tcp_reuse_address(raw) }
    var storage = sockaddr_storage()
    let length = nl_address(&storage, address, Int32(address.count), port, 0)
    try systemCall("bind", "port \(port)") {
      withUnsafePointer(to: &storage) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
        }
      }
    }
    try systemCall("listen", "port \(port)") { listen(raw, 1024) }
    return socket.release()
  }
}
