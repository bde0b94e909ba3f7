// Sends spans to a collector by OTLP/HTTP in its JSON encoding (OTLP specification 1.x, protobuf's JSON mapping with
// identifiers in hexadecimal). A batch when 512 spans wait or a second after the first; one batch under way at a time. A
// batch that the collector does not take within five seconds is dropped and counted: spans never hold requests up.
public import EventLoop
import HTTP1

public final class SpanExporter {
  private let loop: EventLoop
  private let queue: FlushQueue
  private let tracing: Tracing
  private let sidecar: Sidecar
  private var timer: LoopTimer?
  private var sending: CollectorExchange?
  /// Called when a batch is with the collector, or lost.
  var onBatchEnd: (() -> Void)?
  private static let delay: UInt64 = 1_000_000_000

  public init(_ loop: EventLoop, _ tracing: Tracing, _ sidecar: Sidecar) throws(SystemError) {
    self.loop = loop
    self.tracing = tracing
    self.sidecar = sidecar
    queue = FlushQueue(loop)
    let waker = try loop.waker { [weak self] in self?.spansWait() }
    tracing.wake(waker)
  }

  private func spansWait() {
    guard sending == nil else { return }
    if tracing.waiting >= Tracing.batch { return send() }
    guard timer == nil else { return }
    timer = loop.after(Self.delay) { [weak self] in self?.send() }
  }

  private func send() {
    timer?.cancel()
    timer = nil
    guard sending == nil else { return }
    let spans = tracing.take()
    guard !spans.isEmpty else { return }
    let configuration = sidecar.configuration
    let body = OTLP.json(spans, service: sidecar.account, pod: configuration.pod)
    sending = CollectorExchange(loop, queue, tracing, body, mark: configuration.mark) { [weak self] taken in
      guard let self else { return }
      sending = nil
      tracing.note(sent: taken ? spans.count : 0, dropped: taken ? 0 : spans.count)
      if tracing.waiting > 0 { spansWait() }
      onBatchEnd?()
    }
    sending?.start()
  }
}

/// One request to the collector.
private final class CollectorExchange: ChannelOwner {
  private let loop: EventLoop
  private let queue: FlushQueue
  private let tracing: Tracing
  private let body: String
  private let mark: UInt32
  private let onEnd: (Bool) -> Void
  private var channel: Channel?
  private var parser = ResponseParser()
  private var timer: LoopTimer?
  private var isOver = false
  private static let limit: UInt64 = 5_000_000_000

  init(
    _ loop: EventLoop, _ queue: FlushQueue, _ tracing: Tracing, _ body: String, mark: UInt32,
    onEnd: @escaping (Bool) -> Void
  ) {
    self.loop = loop
    self.queue = queue
    self.tracing = tracing
    self.body = body
    self.mark = mark
    self.onEnd = onEnd
  }

  func start() {
    timer = loop.after(Self.limit) { [weak self] in self?.end(false) }
    do {
      let channel = try Channel(
        loop, queue, try TCPSocket.connect(tracing.collector, mark: mark), isConnecting: true)
      channel.owner = self
      self.channel = channel
    } catch {
      loop.enqueue { [self] in end(false) }
    }
  }

  func channelReady(_ channel: Channel) {
    let text =
      "POST \(tracing.path) HTTP/1.1\r\nHost: \(tracing.collector)\r\nContent-Type: application/json\r\n"
      + "User-Agent: netloom-sidecar\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
    channel.append { output in
      output.append(contentsOf: text.utf8)
      output.append(contentsOf: body.utf8)
    }
  }

  func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer) {
    let progress = try? parser.parse(bytes, answering: .post)
    guard let progress else { return end(false) }
    if progress.isComplete { end((200...299).contains(parser.head.status)) }
  }

  func channelEnded(_ channel: Channel) { end(false) }
  func channelDrained(_ channel: Channel) {}
  func channelFailed(_ channel: Channel, _ failure: ChannelFailure) { end(false) }

  private func end(_ taken: Bool) {
    guard !isOver else { return }
    isOver = true
    timer?.cancel()
    channel?.close()
    onEnd(taken)
  }
}
