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
  /// Connections on the port and on the socket: the pod's programs, which reach the port, cannot keep the controller out.
  private var open = [false: 0, true: 0]
  /// Those that get lines.
  private var readers: [ObjectIdentifier: AdminConnection] = [:]
  private var linesWait: Waker?
  /// What `/ready` says.
  public var isReady = true
  /// The port that it listens on.
  public let port: UInt16

  static let most = 64

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
    linesWait = try loop.waker { [weak self] in
      for reader in Array((self?.readers ?? [:]).values) { reader.pump() }
    }
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
      do throws(SystemError) {
        guard let socket = try accept(listener) else { return }
        self?.take(socket, isPrivate)
      } catch {
        self?.sidecar.report("admin: \(error.text)")
        self?.loop.rest(listener)
      }
    }
  }

  private func take(_ socket: consuming FileDescriptor, _ isPrivate: Bool) {
    guard open[isPrivate, default: 0] < AdminServer.most,
      let channel = try? Channel(loop, queue, socket, isConnecting: false)
    else { return }
    open[isPrivate, default: 0] += 1
    channel.owner = AdminConnection(loop, channel) { [weak self] connection, head in
      guard let self else { return .whole(503, "") }
      let answer = answer(head, isPrivate)
      if case .lines = answer { readers[ObjectIdentifier(connection)] = connection }
      return answer
    } onEnd: { [weak self] connection in
      self?.open[isPrivate, default: 0] -= 1
      self?.readers[ObjectIdentifier(connection)] = nil
    }
  }

  private func answer(_ head: RequestHead, _ isPrivate: Bool) -> AdminAnswer {
    guard head.method == .get || head.method == .head else { return .whole(405, "only GET\n") }
    switch String(decoding: head.path, as: UTF8.self) {
    case "/ready": return isReady ? .whole(200, "ready\n") : .whole(503, "not ready\n")
    case "/metrics": return .whole(200, sidecar.metrics)
    case "/config": return .whole(200, "version \(sidecar.configuration.version)\n")
    case "/edges" where isPrivate: return .whole(200, sidecar.edgeReport)
    case "/tap" where isPrivate: return lines(sidecar.observation.taps, TapFilter(query: head.query))
    case "/keylog" where isPrivate:
      let answer = lines(sidecar.observation.keys, TapFilter())
      // Of connections that stand already no key is known any more.
      sidecar.closeIdleConnections()
      return answer
    default: return .whole(404, "/ready /metrics /config\n")
    }
  }
}

enum AdminAnswer {
  case whole(Int, String)
  /// Until the reader goes.
  case lines(FeedHub, LineFeed)
}

extension AdminServer {
  private func lines(_ hub: FeedHub, _ filter: TapFilter) -> AdminAnswer {
    guard let linesWait else { return .whole(503, "") }
    let feed = LineFeed(filter, linesWait)
    hub.add(feed)
    return .lines(hub, feed)
  }
}

private final class AdminConnection: ChannelOwner {
  private let channel: Channel
  private let answer: (AdminConnection, RequestHead) -> AdminAnswer
  private let onEnd: (AdminConnection) -> Void
  private var lines: (hub: FeedHub, feed: LineFeed)?
  private var parser = RequestParser()
  private var timer: LoopTimer?
  private var isAnswered = false

  init(
    _ loop: EventLoop, _ channel: Channel, _ answer: @escaping (AdminConnection, RequestHead) -> AdminAnswer,
    onEnd: @escaping (AdminConnection) -> Void
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
      switch answer(self, parser.head) {
      case .lines(let hub, let feed): begin(hub, feed)
      case .whole(let status, let body):
        send(status, parser.head.method == .head ? "" : body, length: body.utf8.count)
      }
    } catch {
      send(error.status, "\(error.rawValue)\n", length: error.rawValue.utf8.count + 1)
    }
  }

  private func begin(_ hub: FeedHub, _ feed: LineFeed) {
    isAnswered = true
    timer?.cancel()
    lines = (hub, feed)
    var fields = HeaderFields()
    fields.append("Content-Type", "application/x-ndjson")
    let head = ResponseHead(status: 200, fields: fields, framing: .untilClose)
    channel.append { head.write(to: &$0, Forwarding(closes: true)) }
    channel.awaitsDrain = true
  }

  /// Sends what waits, once what was sent before has gone: the feed alone holds what a slow reader does not take.
  func pump() {
    guard let lines, channel.queued == 0 else { return }
    let (bytes, dropped) = lines.feed.take()
    guard !bytes.isEmpty || dropped > 0 else { return }
    channel.append { output in
      output.append(contentsOf: bytes)
      if dropped > 0 { output.append(contentsOf: "{\"dropped\":\(dropped)}\n".utf8) }
    }
    channel.awaitsDrain = true
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
    if channel.queued == 0 || lines != nil { return end() }
    channel.awaitsDrain = true
  }

  func channelDrained(_ channel: Channel) { if lines == nil { end() } else { pump() } }
  func channelFailed(_ channel: Channel, _ failure: ChannelFailure) { end() }

  private func end() {
    channel.close()
    guard timer != nil else { return }
    timer?.cancel()
    timer = nil
    if let lines { lines.hub.remove(lines.feed) }
    lines = nil
    onEnd(self)
  }
}
