internal import CLinux
internal import Dispatch
internal import EventLoop
internal import Glibc
internal import HTTP1

/// One client connection that is kept open from request to request, as long as the server keeps it.
struct LoadConnection: ~Copyable {
  private let target: LoadGenerator.Target
  private let addresses: [SocketAddress]
  private let patience: Double
  private var socket: FileDescriptor?
  private var used = false

  init(_ target: LoadGenerator.Target, _ addresses: [SocketAddress], _ patience: Double) {
    self.target = target
    self.addresses = addresses
    self.patience = patience
  }

  /// One GET and its whole answer.
  mutating func request() -> LoadAnswer {
    let start = DispatchTime.now().uptimeNanoseconds
    var outcome = attempt()
    // A server may close an idle connection while the request is on its way (RFC 9112 section 9.3.1): a GET is sent again.
    if case .closedBeforeAnswer = outcome, used { outcome = attempt() }
    let milliseconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e6
    switch outcome {
    case .status(let status):
      used = socket != nil
      return LoadAnswer(outcome: .status(status), milliseconds: milliseconds)
    case .closedBeforeAnswer:
      drop()
      return LoadAnswer(outcome: .error("the connection was closed before an answer"), milliseconds: milliseconds)
    case .failed(let reason):
      drop()
      return LoadAnswer(outcome: .error(reason), milliseconds: milliseconds)
    }
  }

  private enum Outcome {
    case status(Int)
    case closedBeforeAnswer
    case failed(String)
  }

  private mutating func drop() {
    socket = nil
    used = false
  }

  private mutating func attempt() -> Outcome {
    if socket == nil {
      used = false
      if let reason = connect() { return .failed(reason) }
    }
    guard let raw = socket?.rawValue else { return .failed("no connection") }
    let text =
      "GET \(target.path) HTTP/1.1\r\nHost: \(target.host):\(target.port)\r\nUser-Agent: netloom-pipeline\r\n\r\n"
    guard send(raw, Array(text.utf8)) else {
      socket = nil
      return .closedBeforeAnswer
    }
    return receive(raw)
  }

  private func send(_ raw: Int32, _ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes { Glibc.send(raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if count < 0, errno == EINTR { continue }
      if count <= 0 { return false }
      sent += count
    }
    return true
  }

  private mutating func receive(_ raw: Int32) -> Outcome {
    var reader = ResponseReader()
    var chunk = [UInt8](repeating: 0, count: 16384)
    var any = false
    while true {
      let count = recv(raw, &chunk, chunk.count, 0)
      if count < 0, errno == EINTR { continue }
      if count < 0 {
        let code = errno
        socket = nil
        if code == EAGAIN { return .failed("no answer within \(decimal(patience, 1)) s") }
        return any ? .failed(SystemError("recv", code).text) : .closedBeforeAnswer
      }
      if count == 0 {
        socket = nil
        if !any { return .closedBeforeAnswer }
        return reader.isWholeAtEnd ? .status(reader.head.status) : .failed("the answer was cut short")
      }
      any = true
      do {
        if try chunk[0..<count].withUnsafeBytes({ try reader.read($0) }) {
          if !reader.head.keepsAlive { socket = nil }
          return .status(reader.head.status)
        }
      } catch {
        socket = nil
        return .failed("no HTTP: \(error)")
      }
    }
  }

  /// nil: connected; otherwise why not.
  private mutating func connect() -> String? {
    if addresses.isEmpty { return "\(target.host) does not resolve" }
    var reason = ""
    for address in addresses {
      let raw = CLinux.socket(address.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      guard raw >= 0 else { return SystemError.last("socket").text }
      let opened = FileDescriptor(owning: raw)
      var limit = timeval(tv_sec: Int(patience), tv_usec: Int((patience - patience.rounded(.down)) * 1e6))
      setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      var one: Int32 = 1
      setsockopt(raw, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
      let result = address.bytes.withUnsafeBytes { bytes in
        bytes.baseAddress.map { address in
          CLinux.connect(
            raw, __CONST_SOCKADDR_ARG(__sockaddr__: address.assumingMemoryBound(to: sockaddr.self)),
            socklen_t(bytes.count))
        } ?? -1
      }
      if result == 0 {
        socket = consume opened
        return nil
      }
      reason =
        errno == EINPROGRESS ? "no connection within \(decimal(patience, 1)) s" : SystemError.last("connect").text
    }
    return reason
  }
}
