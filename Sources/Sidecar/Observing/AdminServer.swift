// What a sidecar says of itself, over HTTP, one answer per connection:
//
//   127.0.0.1:15000   GET /ready /metrics /config                      for people and Prometheus
//   a unix socket     these and GET /edges, /tap, /keylog              for the controller; only its owner may connect
//
// `/tap` and `/keylog` go on, a line at a time, until the reader goes; nothing is recorded while nobody reads.
public import EventLoop
import Glibc
import HTTP1

public final class AdminServer {
  private let loop: EventLoop
  private let queue: FlushQueue
  private var listeners: [Int32] = []
  private let sidecar: Sidecar
  private var open = 0
  /// What `/ready` says.
  public var isReady = true
  /// The port that it listens on.
  public let port: UInt16

  private static let most = 64

  public init(_ loop: EventLoop, _ address: SocketAddress, _ sidecar: Sidecar) throws(SystemError) {
    self.loop = loop
    self.sidecar = sidecar
    queue = FlushQueue(loop)
    let socket = try TCPSocket.listen(address)
    port = TCPSocket.local(socket.rawValue)?.port ?? address.port
    try serve(socket.release()) { raw throws(SystemError) in
      try TCPSocket.accept(raw).map { FileDescriptor(owning: $0.0) }
    }
  }

  /// Answers on a unix socket too, and there everything.
  public func listen(unix path: String) throws(SystemError) {
    let socket = try UnixSocket.listen(path, mode: 0o600)
    try serve(socket.release(), isPrivate: true) { raw throws(SystemError) in try UnixSocket.accept(raw) }
  }

  deinit { for listener in listeners { _ = Glibc.close(listener) } }

  private func serve(
    _ listener: Int32, isPrivate: Bool = false,
    _ accept: @escaping (Int32) throws(SystemError) -> FileDescriptor?
  ) throws(SystemError) {
    listeners.append(listener)
    try loop.register(listener, .read) { [weak self] _ in
      guard let socket = (try? accept(listener)) ?? nil else { return }
      self?.take(socket, isPrivate)
    }
  }

  private func take(_ socket: consuming FileDescriptor, _ isPrivate: Bool) {
    guard open < AdminServer.most, let channel = try? Channel(loop, queue, socket, isConnecting: false) else { return }
    open += 1
    channel.owner = AdminConnection(loop, channel) { [weak self] head in
      self?.answer(head, isPrivate) ?? .whole(503, "")
    } onEnd: { [weak self] in
      self?.open -= 1
    }
  }

  private func answer(_ head: RequestHead, _ isPrivate: Bool) -> AdminAnswer {
    guard head.method == .get || head.method == .head else { return .whole(405, "only GET\n") }
    switch String(decoding: head.path, as: UTF8.self) {
    case "/ready": return isReady ? .whole(200, "ready\n") : .whole(503, "not ready\n")
    case "/metrics": return .whole(200, sidecar.metrics)
    case "/config": return .whole(200, "version \(sidecar.configuration.version)\n")
    case "/edges" where isPrivate: return .whole(200, sidecar.edgeReport)
    default: return .whole(404, "/ready /metrics /config\n")
    }
  }
}

enum AdminAnswer {
  case whole(Int, String)
}

private final class AdminConnection: ChannelOwner {
  private let channel: Channel
  private let answer: (RequestHead) -> AdminAnswer
  private let onEnd: () -> Void
  private var parser = RequestParser()
  private var timer: LoopTimer?
  private var isAnswered = false

  init(
    _ loop: EventLoop, _ channel: Channel, _ answer: @escaping (RequestHead) -> AdminAnswer,
    onEnd: @escaping () -> Void
  ) {
    self.channel = channel
    self.answer = answer
    self.onEnd = onEnd
    timer = loop.after(10_000_000_000) { [weak self] in self?.end() }
  }

  func channelReady(_ channel: Channel) {}

  func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer) {
    guard !isAnswered else { return }
    do throws(HTTP1Failure) {
      guard try parser.parse(bytes).isComplete else { return }
      switch answer(parser.head) {
      case .whole(let status, let body):
        send(status, parser.head.method == .head ? "" : body, length: body.utf8.count)
      }
    } catch {
      send(error.status, "\(error.rawValue)\n", length: error.rawValue.utf8.count + 1)
    }
  }

  private func send(_ status: Int, _ body: String, length: Int) {
    isAnswered = true
    var fields = HeaderFields()
    fields.append("Content-Type", "text/plain; version=0.0.4")
    fields.append("Content-Length", "\(length)")
    let head = ResponseHead(status: status, fields: fields, framing: .length(UInt64(length)))
    channel.append { output in
      head.write(to: &output, Forwarding(closes: true))
      output.append(contentsOf: body.utf8)
    }
    channel.endOutput()
  }

  func channelEnded(_ channel: Channel) {
    if channel.queued == 0 { return end() }
    channel.awaitsDrain = true
  }

  func channelDrained(_ channel: Channel) { end() }
  func channelFailed(_ channel: Channel, _ failure: ChannelFailure) { end() }

  private func end() {
    channel.close()
    guard timer != nil else { return }
    timer?.cancel()
    timer = nil
    onEnd()
  }
}
