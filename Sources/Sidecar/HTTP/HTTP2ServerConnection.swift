// A client's connection of HTTP/2: every stream an `Exchange`, under the configuration that is in force when it begins.
//
//   preface, SETTINGS ─► serving ─► draining: GOAWAY, streams end ─► lingering ─► closed
//
// Whether the client speaks HTTP/2 is declared or agreed on (ALPN), never guessed. Limits on what a client may cost are
// the session's (`HTTP2Settings`); here are those that need a clock: a first SETTINGS that does not come, streams that
// do not move, a client that is silent.
import EventLoop
import HTTP1
import HTTP2
import TLS

final class HTTP2ServerConnection: ChannelOwner, Drainable, HTTP2TransportOwner {
  private let worker: Worker
  private let channel: Channel
  private var service: ServiceRuntime
  let peerAddress: SocketAddress?
  private(set) var peerIdentity: String?
  let transport: HTTP2Transport
  private var streams: [StreamID: HTTP2ServerStream] = [:]
  private var timer: LoopTimer?
  private var hasSettings = false
  private var isDraining = false
  private var hasGoneAway = false
  private var isLingering = false
  private var isClosed = false
  /// A PING is under way; with it how much had been received.
  private var isProbing = false
  private var receivedSeen: UInt64 = 0
  private var idleSince: UInt64 = 0
  private var lingered = 0

  private static let probe: UInt64 = 1
  private static let drainMark: UInt64 = 2
  /// Bytes of input that are dropped after GOAWAY, see `ConnectionLimits.linger`.
  private static let lingerBytes = 1 << 20
  /// Milliseconds for the answer to the first GOAWAY of a drain.
  private static let drainTime: UInt64 = 1000

  init(_ worker: Worker, _ channel: Channel, _ arrival: Arrival) {
    self.worker = worker
    self.channel = channel
    service = arrival.service
    peerAddress = arrival.client
    transport = HTTP2Transport(.server, worker)
  }

  func start() {
    channel.owner = self
    worker.add(self)
    idleSince = worker.loop.now
    arm(worker.configuration.limits.head)
    transport.open(channel, owner: self)
    if worker.isDraining { drain() }
  }

  private func arm(_ milliseconds: UInt64) {
    if timer == nil { timer = LoopTimer(worker.loop) { [unowned self] in expired() } }
    timer?.arm(at: worker.loop.now + EventLoop.milliseconds(milliseconds))
  }

  // MARK: Input

  func channelReady(_ channel: Channel) {
    guard let tls = channel.tls else { return }
    peerIdentity = tls.peer?.description
    let edge = worker.edge(service, source: peerIdentity)
    edge.counts.addHandshake(isResumed: tls.isResumed)
  }

  func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer) {
    if isLingering {
      lingered += bytes.count
      if lingered > HTTP2ServerConnection.lingerBytes { closeNow() }
      return
    }
    transport.receive(bytes)
  }

  func channelEnded(_ channel: Channel) { closeNow() }

  func channelDrained(_ channel: Channel) {
    if isLingering { arm(worker.configuration.limits.linger) } else { transport.flush() }
  }

  func channelFailed(_ channel: Channel, _ failure: ChannelFailure) {
    if case .tls(let reason) = failure {
      worker.edge(service, source: peerIdentity).counts.refusals["tls-\(reason.word)", default: 0] += 1
    }
    closeNow()
  }

  func sessionEvent(_ event: HTTP2Event) {
    switch event {
    case .head(let id, let fields, let endStream): open(id, fields, endStream: endStream)
    case .data(let id, let bytes, let endStream): streams[id]?.receive(bytes, endStream: endStream)
    case .trailers(let id, let fields): streams[id]?.receive(trailers: fields)
    case .drained(let id): streams[id]?.drained()
    case .closed(let id, _):
      streams.removeValue(forKey: id)?.closed()
      if streams.isEmpty { idleSince = worker.loop.now }
    case .settings:
      if hasSettings { break }
      hasSettings = true
      if !isDraining { arm(worker.configuration.limits.idle) }
    case .pong(HTTP2ServerConnection.probe): isProbing = false
    case .pong(HTTP2ServerConnection.drainMark): goAway()
    default: break
    }
  }

  private func open(_ id: StreamID, _ fields: FieldList, endStream: Bool) {
    let stream = HTTP2ServerStream(self, id, endStream: endStream)
    streams[id] = stream
    service = worker.current(service)
    do throws(HTTP1Failure) {
      let head = try RequestHead(fields, endStream: endStream)
      stream.begin(Exchange(worker, service, head, downstream: stream))
    } catch {
      refuse(stream, Refusal(error.status, error.rawValue))
    }
  }

  private func refuse(_ stream: HTTP2ServerStream, _ refusal: Refusal) {
    note(refusal)
    let (head, text) = refusal.response(hop: "\(worker.configuration.pod)/\(service.direction.rawValue)")
    stream.sendHead(head)
    text.withUnsafeBytes { stream.sendBody($0) }
    stream.sendEnd(nil)
  }

  private func note(_ refusal: Refusal) {
    let edge = worker.edge(service, source: peerIdentity)
    edge.counts.refusals[refusal.word, default: 0] += 1
    edge.counts.responses[refusal.status / 100] &+= 1
    edge.counts.requests += 1
    if refusal.status >= 500 { edge.counts.failures += 1 }
  }

  // MARK: Time

  private func expired() {
    if isLingering {
      return channel.queued == 0 || channel.isStuck() ? closeNow() : arm(worker.configuration.limits.idle)
    }
    guard hasSettings else {
      worker.edge(service, source: peerIdentity).counts.refusals["settings-timeout", default: 0] += 1
      return closeNow()
    }
    if isDraining, !hasGoneAway { return goAway() }
    let limit = worker.configuration.limits.idle
    if streams.isEmpty {
      let end = idleSince + EventLoop.milliseconds(limit)
      if worker.loop.now < end {
        timer?.arm(at: end)
        return
      }
      // What the last stream was answered may still be on its way.
      if channel.queued > 0, !channel.isStuck() { return arm(limit) }
      return hasGoneAway ? closeNow() : goAway()
    }
    for stream in Array(streams.values) where stream.isStuck() { stream.fail(.cancel) }
    probe()
    arm(limit)
  }

  /// A client that has vanished without a word answers no PING.
  private func probe() {
    if channel.received == receivedSeen {
      if isProbing { return closeNow() }
      isProbing = true
      transport.session.ping(HTTP2ServerConnection.probe)
      transport.scheduleFlush()
    }
    receivedSeen = channel.received
  }

  // MARK: End

  /// First a GOAWAY that refuses nothing, then, when the client has seen it, the one that counts (RFC 9113 section 6.8).
  func drain() {
    guard !isDraining, !isClosed else { return }
    isDraining = true
    guard hasSettings else { return goAway() }
    transport.session.drain()
    transport.session.ping(HTTP2ServerConnection.drainMark)
    transport.scheduleFlush()
    arm(HTTP2ServerConnection.drainTime)
  }

  private func goAway() {
    guard !hasGoneAway, !isClosed else { return }
    isDraining = true
    hasGoneAway = true
    transport.session.goAway()
    transport.scheduleFlush()
    // What is under way may take as long as the worker lets it.
    arm(worker.configuration.limits.idle)
  }

  /// Closing with unread input would reset the connection and take GOAWAY with it.
  func sessionFinished() {
    guard !isLingering, !isClosed else { return }
    if let failure = transport.session.failure {
      // The client has broken the rules; the GOAWAY has said which.
      let word = failure.code == .enhanceYourCalm ? "http2-flood" : "http2-violation"
      worker.edge(service, source: peerIdentity).counts.refusals[word, default: 0] += 1
    }
    transport.close()
    streams = [:]
    isLingering = true
    channel.endOutput()
    channel.awaitsDrain = true
    channel.resumeReading()
    arm(worker.configuration.limits.idle)
  }

  func closeNow() {
    guard !isClosed else { return }
    isClosed = true
    timer?.cancel()
    transport.close()
    let open = streams.values
    streams = [:]
    for stream in open { stream.closed() }
    channel.close()
    worker.remove(self)
  }
}
