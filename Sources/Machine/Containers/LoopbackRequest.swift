// One question to a port of a node, from inside it, over its loopback: neither the network nor a sidecar stands between.
import CLinux
import EventLoop
import Glibc
import HTTP1

final class LoopbackRequest {
  enum Outcome {
    /// A connection was all that was asked for.
    case connected
    case answered(status: Int, body: String)
    case failed(String)
  }

  private let loop: EventLoop
  private let path: String?
  private let port: UInt16
  private let done: (Outcome) -> Void
  private var socket: Int32 = -1
  private var limit: LoopTimer?
  private var answer = ResponseReader(mostContent: LoopbackRequest.mostBytes)
  private var hasAnswered = false
  private static let mostBytes = 4 << 20

  /// A GET of the path, or with none a connection. `done` is called once, unless `cancel` comes first; never from here.
  /// Throws what hinders it at once.
  init(
    _ loop: EventLoop, network: Int32, port: UInt16, isIPv6: Bool, path: String?, done: @escaping (Outcome) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.path = path
    self.port = port
    self.done = done
    socket = try inNamespace(network) { () throws(SystemError) -> Int32 in
      try Self.connect(toLoopback: port, isIPv6: isIPv6)
    }
    limit = loop.after(2_000_000_000) { [weak self] in self?.finish(.failed("no answer within 2 s")) }
    try loop.register(socket, .write) { [weak self] _ in self?.connected() }
  }

  deinit { cancel() }

  func cancel() {
    limit?.cancel()
    guard socket >= 0 else { return }
    loop.unregister(socket)
    close(socket)
    socket = -1
  }

  private func finish(_ outcome: Outcome) {
    guard socket >= 0 else { return }
    cancel()
    done(outcome)
  }

  private static func connect(toLoopback port: UInt16, isIPv6: Bool) throws(SystemError) -> Int32 {
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let made = FileDescriptor(
      owning: try systemCall("socket") { Glibc.socket(isIPv6 ? AF_INET6 : AF_INET, kind, 0) })
    let raw = made.rawValue
    var v4 = sockaddr_in()
    v4.sin_family = sa_family_t(AF_INET)
    v4.sin_port = port.bigEndian
    v4.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var v6 = sockaddr_in6()
    v6.sin6_family = sa_family_t(AF_INET6)
    v6.sin6_port = port.bigEndian
    v6.sin6_addr = in6addr_loopback
    let result = isIPv6 ? connect(raw, &v6) : connect(raw, &v4)
    if result != 0, errno != EINPROGRESS { throw SystemError.last("connect") }
    return made.release()
  }

  private static func connect<Address>(_ socket: Int32, _ address: inout Address) -> Int32 {
    withUnsafeBytes(of: &address) { bytes in
      bytes.baseAddress.map {
        Glibc.connect(
          socket, __CONST_SOCKADDR_ARG(__sockaddr__: $0.assumingMemoryBound(to: sockaddr.self)), socklen_t(bytes.count))
      } ?? -1
    }
  }

  private func connected() {
    var code: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
    guard code == 0 else { return finish(.failed(SystemError("connect", code).text)) }
    guard let path else { return finish(.connected) }
    let request = Array("GET \(path) HTTP/1.1\r\nHost: localhost:\(port)\r\nConnection: close\r\n\r\n".utf8)
    guard send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
      return finish(.failed(SystemError.last("send").text))
    }
    loop.unregister(socket)
    do throws(SystemError) {
      try loop.register(socket, .read) { [weak self] _ in self?.read() }
    } catch {
      finish(.failed(error.text))
    }
  }

  /// Until the answer is whole, whether or not the connection is closed as was asked for.
  private func read() {
    var chunk = [UInt8](repeating: 0, count: 16384)
    let count = recv(socket, &chunk, chunk.count, 0)
    if count < 0, errno == EAGAIN { return }
    do throws(HTTP1Failure) {
      if count > 0 {
        hasAnswered = true
        let bytes = chunk[0..<count]
        var failure: HTTP1Failure?
        let isWhole = bytes.withUnsafeBytes { raw in
          do throws(HTTP1Failure) { return try answer.read(raw) } catch { failure = error }
          return false
        }
        if let failure { throw failure }
        if !isWhole { return }
      } else if !answer.isWholeAtEnd {
        return finish(
          .failed("the connection ended \(hasAnswered ? "in the middle of an answer" : "without an answer")"))
      }
      finish(.answered(status: answer.head.status, body: String(decoding: answer.content, as: UTF8.self)))
    } catch {
      finish(.failed("it does not speak HTTP: \(error)"))
    }
  }
}
