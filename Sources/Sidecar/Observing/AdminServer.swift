// The admin port: `GET /ready`, `GET /metrics`, `GET /config`. Only for 127.0.0.1; one short answer per connection.
public import EventLoop
import Glibc
import HTTP1

public final class AdminServer {
  private let loop: EventLoop
  private let queue: FlushQueue
  private let listener: Int32
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
    listener = socket.rawValue
    port = TCPSocket.local(listener)?.port ?? address.port
    try loop.register(listener, .read) { [weak self] _ in self?.accept() }
    _ = socket.release()
  }

  deinit { _ = Glibc.close(listener) }

  private func accept() {
    guard let (socket, _) = (try? TCPSocket.accept(listener)) ?? nil else { return }
    let owned = FileDescriptor(owning: socket)
    guard open < AdminServer.most, let channel = try? Channel(loop, queue, owned, isConnecting: false) else { return }
    open += 1
    channel.owner = AdminConnection(loop, channel) { [weak self] in
      self?.answer($0) ?? (503, "")
    } onEnd: { [weak self] in
      self?.open -= 1
    }
  }

  private func answer(_ head: RequestHead) -> (status: Int, body: String) {
    guard head.method == .get || head.method == .head else { return (405, "only GET\n") }
    return switch String(decoding: head.path, as: UTF8.self) {
    case "/ready": isReady ? (200, "ready\n") : (503, "not ready\n")
    case "/metrics": (200, sidecar.metrics)
    case "/config": (200, "version \(sidecar.configuration.version)\n")
    default: (404, "/ready /metrics /config\n")
    }
  }
}

private final class AdminConnection: ChannelOwner {
  private let channel: Channel
  private let answer: (RequestHead) -> (status: Int, body: String)
  private let onEnd: () -> Void
  private var parser = RequestParser()
  private var timer: LoopTimer?
  private var isAnswered = false

  init(
    _ loop: EventLoop, _ channel: Channel, _ answer: @escaping (RequestHead) -> (status: Int, body: String),
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
      let (status, body) = answer(parser.head)
      send(status, parser.head.method == .head ? "" : body, length: body.utf8.count)
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
