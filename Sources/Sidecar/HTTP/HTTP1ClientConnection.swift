// A connection of HTTP/1.1 to an endpoint: one request at a time, kept in the endpoint's pool in between.
//
//   connecting ─► busy ⇄ idle ─► closed
import EventLoop
import HTTP1
import TLS

final class HTTP1ClientConnection: ChannelOwner, UpstreamStream {
  private let worker: Worker
  private let cluster: ClusterRuntime
  private let endpoint: EndpointRuntime
  private let edge: Edge
  private var channel: Channel?
  private var exchange: Exchange?
  private var parser = ResponseParser()
  private var body: BodyDecoder?
  private var method = RequestMethod.get
  private var isChunked = false
  private var requestEnded = false
  private var isTunnel = false
  private var isConnecting = true
  private var keepsAlive = true
  private(set) var isReused = false
  private var timer: LoopTimer?

  /// Kept unused for so long; shorter than what servers usually keep.
  private static let idleLimit: UInt64 = 30_000

  /// Begins to connect; the exchange hears of it.
  init(
    _ worker: Worker, _ cluster: ClusterRuntime, _ endpoint: EndpointRuntime, _ edge: Edge, for exchange: Exchange
  ) throws {
    self.worker = worker
    self.cluster = cluster
    self.endpoint = endpoint
    self.edge = edge
    self.exchange = exchange
    channel = try worker.connect(cluster, endpoint, .http1, owner: self)
    cluster.counts.connections += 1
    cluster.counts.connecting += 1
    arm(cluster.configuration.connectTimeout)
  }

  private func arm(_ milliseconds: UInt64) {
    if timer == nil { timer = LoopTimer(worker.loop) { [unowned self] in expired() } }
    timer?.arm(at: worker.loop.now + EventLoop.milliseconds(milliseconds))
  }

  private func expired() {
    if isConnecting { return fail("connect: timed out") }
    if exchange == nil { close() }
  }

  // MARK: Requests

  /// Out of the pool, for another request.
  func take(_ exchange: Exchange) {
    self.exchange = exchange
    isReused = true
    // The timer of the idle time stays armed: that it fires once for nothing costs less than taking it out and in.
    parser.reset()
    body = nil
    requestEnded = false
    keepsAlive = true
  }

  func sendHead(_ head: RequestHead) {
    method = head.method
    isChunked = head.framing == .chunked
    let forwarding = Forwarding(keepsUpgrade: head.asksUpgrade)
    channel?.append { head.write(to: &$0, forwarding) }
  }

  func sendBody(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else { return }
    guard isChunked, !isTunnel else { channel?.append(bytes); return }
    channel?.append { output in
      output.appendChunkHeader(bytes.count)
      output.append(contentsOf: bytes)
      output.appendChunkEnd()
    }
  }

  func sendEnd(_ trailers: HeaderFields?) {
    if isTunnel { channel?.endOutput(); return }
    if isChunked { channel?.append { $0.appendLastChunk(trailers) } }
    requestEnded = true
  }

  func cancel() {
    exchange = nil
    close()
  }

  var peerIdentity: String? { channel?.tls?.peer?.description }
  var queued: Int { channel?.queued ?? 0 }
  func awaitDrain() { channel?.awaitsDrain = true }
  func pauseResponse() { channel?.pauseReading() }
  func resumeResponse() { channel?.resumeReading() }

  // MARK: Events

  func channelReady(_ channel: Channel) {
    isConnecting = false
    cluster.counts.connecting -= 1
    edge.counts.connectionsOpened += 1
    if let tls = channel.tls {
      edge.counts.addHandshake(isResumed: tls.isResumed)
    }
    guard let exchange else { return release() }
    exchange.connected(self)
  }

  func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer) {
    // Bytes that nobody asked for: whatever they are, the next request must not get them for its response.
    guard exchange != nil else { return close() }
    do throws(HTTP1Failure) {
      try read(bytes)
    } catch {
      fail("invalid-response-\(error.rawValue)")
    }
  }

  private func read(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Failure) {
    var offset = 0
    while offset < bytes.count, let exchange {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
      if isTunnel { return exchange.responseBody(rest) }
      if body == nil {
        let progress = try parser.parse(rest, answering: method)
        offset += progress.consumed
        guard progress.isComplete else { return }
        try readHead(exchange, leftOver: bytes.count - offset)
      } else {
        guard let step = try body?.decode(rest) else { return }
        if !step.content.isEmpty { exchange.responseBody(UnsafeRawBufferPointer(rebasing: rest[step.content])) }
        offset += step.consumed
        if step.isEnd { return complete(leftOver: bytes.count - offset) }
        if self.exchange !== exchange { return }
      }
    }
  }

  private func readHead(_ exchange: Exchange, leftOver: Int) throws(HTTP1Failure) {
    if parser.head.isInterim {
      exchange.responseInterim(parser.head)
      parser.reset()
      return
    }
    if parser.head.status == 101 { isTunnel = true }
    keepsAlive = parser.head.keepsAlive
    let decoder = BodyDecoder(parser.head.framing)
    body = decoder
    exchange.responseHead(parser.head)
    guard self.exchange === exchange, !isTunnel else { return }
    if decoder.isEnded { complete(leftOver: leftOver) }
  }

  private func complete(leftOver: Int) {
    guard let exchange else { return }
    let trailers = body.map(\.trailers)
    self.exchange = nil
    if requestEnded, keepsAlive, leftOver == 0, !isTunnel { release() } else { close() }
    exchange.responseEnd(trailers.flatMap { $0.count > 0 ? $0 : nil })
  }

  private func release() {
    guard !endpoint.isRetired, let channel, channel.isOpen else { return close() }
    channel.resumeReading()
    endpoint.idle.append(self)
    arm(HTTP1ClientConnection.idleLimit)
    if cluster.counts.waiting.count > 0 { worker.loop.enqueue { [cluster] in cluster.serveWaiting() } }
  }

  func channelEnded(_ channel: Channel) {
    guard let exchange else { return close() }
    if isTunnel || (body?.endsWithConnection ?? false) {
      self.exchange = nil
      close()
      return exchange.responseEnd(nil)
    }
    fail(parser.isInside ? "closed-within-response" : "closed-before-response")
  }

  func channelDrained(_ channel: Channel) { exchange?.upstreamDrained() }

  func channelFailed(_ channel: Channel, _ failure: ChannelFailure) { fail(failure.text) }

  private func fail(_ reason: String) {
    let exchange = self.exchange
    let neverSent = isConnecting
    self.exchange = nil
    close()
    exchange?.upstreamFailed(reason, neverSent: neverSent, isConnect: neverSent)
  }

  func close() {
    guard let channel else { return }
    self.channel = nil
    timer?.cancel()
    channel.close()
    cluster.counts.connections -= 1
    if isConnecting { cluster.counts.connecting -= 1 }
    endpoint.idle.removeAll { $0 === self }
    if cluster.counts.waiting.count > 0 { worker.loop.enqueue { [cluster] in cluster.serveWaiting() } }
  }
}
