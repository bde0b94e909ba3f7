internal import CLinux
internal import EventLoop
internal import Glibc

/// Who is at the other end of a connection, as far as the kernel knows.
public struct XDSPeer: Sendable, Hashable {
  /// The name of the listener that took the connection: its path, or what it was called when it was handed over.
  public var listener: String
  /// The path that the peer's unix socket is bound to; nil where it is not, or the connection is TCP.
  public var boundPath: String?
  /// Of a unix socket, when it connected.
  public var processID: Int32?
  public var userID: UInt32?

  public init(listener: String, boundPath: String? = nil, processID: Int32? = nil, userID: UInt32? = nil) {
    self.listener = listener
    self.boundPath = boundPath
    self.processID = processID
    self.userID = userID
  }

  init(listener: String, connection: Int32) {
    self.listener = listener
    var address = sockaddr_un()
    var length = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        getpeername(connection, __SOCKADDR_ARG(__sockaddr__: $0), &length)
      }
    }
    guard result == 0, address.sun_family == sa_family_t(AF_UNIX) else { return }
    let path = withUnsafeBytes(of: &address.sun_path) { bytes in
      let used = min(Int(length) - MemoryLayout<sa_family_t>.size, bytes.count)
      return String(decoding: bytes.prefix(max(used, 0)).prefix { $0 != 0 }, as: UTF8.self)
    }
    if !path.isEmpty { boundPath = path }
    if let credentials = try? UnixSocket.peerCredentials(connection) {
      processID = credentials.pid
      userID = credentials.user
    }
  }
}

/// What a peer may call itself.
public enum XDSAdmission: Sendable, Equatable {
  /// Only this pod.
  case pod(String)
  /// Whatever pod it says: its word is all there is.
  case anyPod
  /// Nothing; the reason goes to the peer.
  case refused(String)
}
