// A connection of HTTP/2 to an endpoint, which carries requests of many clients at a time.
//
//   connecting ─► open: streams ⇄ none ─► closed
//                   └─► going away: streams end, no new ones
//
// Requests that come while it is connecting wait for it: a burst makes one connection, not one each.
import EventLoop
import HTTP2
import TLS

final class HTTP2ClientConnection: ChannelOwner, HTTP2TransportOwner {
  private let worker: Worker
  private let cluster: ClusterRuntime
  private let endpoint: EndpointRuntime
  private let edge: Edge
  private var channel: Channel?
  let transport: HTTP2Transport
  private var streams: [StreamID: HTTP2ClientStream] = [:]
  /// Until the connection stands.
  private var waiting: [HTTP2ClientStream] = []
  private(set) var isConnecting = true
  private var isLeaving = false
  private var timer: LoopTimer?
  private var idleSince: UInt64 = 0
  private var probeTimer: LoopTimer?

  /// Kept without streams for so many milliseconds; shorter than what servers usually keep.
  private static let idleLimit: UInt64 = 30_000
  /// Streams at a time, whatever the server would bear.
  private static let mostStreams = 256

  /// Begins to connect.
  init(_ worker: Worker, _ cluster: ClusterRuntime, _ endpoint: EndpointRuntime, _ edge: Edge) throws {
    self.worker = worker
    self.cluster = cluster
    self.endpoint = endpoint
    self.edge = edge
    transport = HTTP2Transport(.client, worker)
    let channel = try worker.connect(cluster, endpoint, .http2, owner: self)
    self.channel = channel
    transport.open(channel, owner: self)
    cluster.counts.connections += 1
    cluster.counts.connecting += 1
    endpoint.multiplexed.append(self)
    arm(cluster.configuration.connectTimeout)
  }

  private func arm(_ milliseconds: UInt64) {
    if timer == nil { timer = LoopTimer(worker.loop) { [unowned self] in expired() } }
    timer?.arm(at: worker.loop.now + EventLoop.milliseconds(milliseconds))
  }

  private func expired() {
    if isConnecting { return fail("connect: timed out") }
    guard isUnused else { return arm(HTTP2ClientConnection.idleLimit) }
    let end = idleSince + EventLoop.milliseconds(HTTP2ClientConnection.idleLimit)
    if worker.loop.now < end { timer?.arm(at: end) } else { leave() }
  }

  // MARK: Streams

  var isUnused: Bool { streams.isEmpty && waiting.isEmpty }

  /// Whether another request may go this way.
  var hasRoom: Bool {
    guard !isLeaving, channel != nil else { return false }
    let limit = min(endpoint.streamLimit, HTTP2ClientConnection.mostStreams)
    // Until this connection's own SETTINGS have come, no more than the session takes for granted.
    if isConnecting { return waiting.count < min(limit, transport.session.peerMaxConcurrentStreams) }
    return streams.count < limit && transport.session.canSubmitRequest
  }

  /// A stream for this exchange; while `isConnecting`, the exchange hears when it can go on.
  func stream(for exchange: Exchange) -> HTTP2ClientStream {
    let stream = HTTP2ClientStream(self, exchange, isReused: !isConnecting)
    if isConnecting { waiting.append(stream) }
    return stream
  }

  func opened(_ stream: HTTP2ClientStream, _ id: StreamID) { streams[id] = stream }

  /// A stream that waits is not wanted any more.
  func withdraw(_ stream: HTTP2ClientStream) {
    waiting.removeAll { $0 === stream }
    if isConnecting, waiting.isEmpty { close() }
  }

  func later(_ work: @escaping () -> Void) { worker.loop.enqueue(work) }

  var received: UInt64 { channel?.received ?? 0 }

  /// Asks for a sign of life; a server that gives none in the time of a connect is gone.
  func probe() {
    guard probeTimer == nil, let channel, channel.isOpen else { return }
    let before = channel.received
    transport.session.ping(0)
    probeTimer = worker.loop.after(EventLoop.milliseconds(cluster.configuration.connectTimeout)) { [weak self] in
      guard let self else { return }
      probeTimer = nil
      if received == before { fail("unresponsive") }
    }
  }

  // MARK: Events

  func channelReady(_ channel: Channel) {
    isConnecting = false
    cluster.counts.connecting -= 1
    edge.counts.connectionsOpened += 1
    if let tls = channel.tls {
      edge.counts.addHandshake(isResumed: tls.isResumed)
    }
    idleSince = worker.loop.now
    arm(HTTP2ClientConnection.idleLimit)
    transport.scheduleFlush()
    let waiting = self.waiting
    self.waiting = []
    for stream in waiting { stream.exchange?.connected(stream) }
  }

  func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer) { transport.receive(bytes) }

  func channelDrained(_ channel: Channel) { transport.flush() }

  func channelEnded(_ channel: Channel) { fail("closed-by-server") }

  func channelFailed(_ channel: Channel, _ failure: ChannelFailure) { fail(failure.text) }

  func sessionEvent(_ event: HTTP2Event) {
    switch event {
    case .head(let id, let fields, let endStream): streams[id]?.receive(head: fields, endStream: endStream)
    case .informational(let id, let fields): streams[id]?.receive(interim: fields)
    case .data(let id, let bytes, let endStream): streams[id]?.receive(bytes, endStream: endStream)
    case .trailers(let id, let fields): streams[id]?.receive(trailers: fields)
    case .drained(let id): streams[id]?.drained()
    case .closed(let id, let code): closed(id, code)
    case .settings: endpoint.streamLimit = max(1, transport.session.peerMaxConcurrentStreams)
    case .goAway: leave()
    default: break
    }
  }

  private func closed(_ id: StreamID, _ code: HTTP2ErrorCode) {
    guard let stream = streams.removeValue(forKey: id) else { return }
    if streams.isEmpty {
      idleSince = worker.loop.now
      if isLeaving { later { [self] in if isUnused { close() } } }
    }
    stream.closed(code)
    if cluster.counts.waiting.count > 0 { later { [cluster] in cluster.serveWaiting() } }
  }

  func sessionFinished() {
    guard let failure = transport.session.failure else { return fail("closed-by-server") }
    fail("invalid-response: \(failure)")
  }

  // MARK: End

  /// Takes no new requests; closes when the last one has ended.
  func leave() {
    guard !isLeaving else { return }
    isLeaving = true
    endpoint.multiplexed.removeAll { $0 === self }
    later { [self] in if isUnused { close() } }
  }

  private func fail(_ reason: String) {
    let open = Array(streams.values) + waiting
    let wasConnecting = isConnecting
    streams = [:]
    waiting = []
    close()
    for stream in open { stream.failed(reason, neverSent: wasConnecting, isConnect: wasConnecting) }
  }

  func close() {
    guard let channel else { return }
    self.channel = nil
    isLeaving = true
    timer?.cancel()
    probeTimer?.cancel()
    if !isConnecting {
      // A server is told, so that it does not take it for a failure.
      transport.session.goAway()
      transport.flush()
    }
    transport.close()
    channel.close()
    cluster.counts.connections -= 1
    if isConnecting { cluster.counts.connecting -= 1 }
    endpoint.multiplexed.removeAll { $0 === self }
    if cluster.counts.waiting.count > 0 { later { [cluster] in cluster.serveWaiting() } }
  }
}
