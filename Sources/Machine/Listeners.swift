import CLinux
import Glibc
import EventLoop

/// TCP 179 of both families, opened before any speaker runs so that no early SYN is refused, and kept open while the
/// speaker is restarted.
enum Listeners {
  /// Opens in the calling thread's namespace. The descriptors belong to the caller. A kernel without IPv6 gives one.
  static func open() throws(SystemError) -> [Int32] {
    let ipv4 = try listener(addressBytes: 4)
    do throws(SystemError) {
      return [ipv4, try listener(addressBytes: 16)]
    } catch  where error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL {
      return [ipv4]
    }
  }

  /// On the unspecified address; the IPv6 socket takes IPv6 only.
  private static func listener(addressBytes: Int32) throws(SystemError) -> Int32 {
    let socket = FileDescriptor(owning: try systemCall("socket") { nl_tcp_socket(addressBytes) })
    let raw = socket.rawValue
    try systemCall("setsockopt", "SO_REUSEADDR") { nl_tcp_reuse_address(raw) }
    var address = sockaddr_storage()
    let length = nl_address(&address, [UInt8](repeating: 0, count: Int(addressBytes)), addressBytes, 179, 0)
    try systemCall("bind", "port 179") {
      withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
        }
      }
    }
    try systemCall("listen", "port 179") { listen(raw, 1024) }
    return socket.release()
  }
}
