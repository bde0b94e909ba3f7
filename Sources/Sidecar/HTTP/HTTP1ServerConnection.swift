// A client's connection of HTTP/1.1: requests one after the other, each an `Exchange`; what a client sends ahead waits.
//
//   head ─► content ─► done ─► (response complete) ─► head …
//     │        │                                        └─► closing: Connection: close, drain, half-read request
//     └────────┴─► refused: an answer, then the rest of the input is read and dropped for a moment
import EventLoop
import HTTP1
import TLS

final class HTTP1ServerConnection: ChannelOwner, Drainable, DownstreamStream {
  private enum State { case head, content, done, tunnel, lingering, closed }

  private let worker: Worker
  private let channel: Channel
  private var service: ServiceRuntime
  let peerAddress: SocketAddress?
  private(set) var peerIdentity: String?
  private var state = State.head
  private var parser = RequestParser()
  private var body = BodyDecoder(.none)
  private var exchange: Exchange?
  /// What has arrived and cannot be taken yet.
  private var input: [UInt8] = []
  private var isProcessing = false
  private var inputEnded = false
  private var timer: LoopTimer?
  // Of the present request and response:
  private var method = RequestMethod.get
  private var minorVersion = 1
  private var hasServed = false
  private var keepsAlive = true
  private var asksUpgrade = false
  private var sendsChunks = false
  private var headSent = false

  private static let inputLimit = 65536
  /// Bytes of input that are dropped at the end, see `ConnectionLimits.linger`.
  private static let lingerBytes = 1 << 20
  /// Milliseconds that a new connection has for its first request while the worker drains.
  static let firstRequestTime: UInt64 = 1000
  private var lingered = 0

  init(_ worker: Worker, _ channel: Channel, _ arrival: Arrival) {
    self.worker = worker
    self.channel = channel
    service = arrival.service
    peerAddress = arrival.client
  }

  func start() {
    channel.owner = self
    worker.add(self)
    arm(worker.configuration.limits.head)
    if worker.isDraining { keepsAlive = false }
  }

  private func arm(_ milliseconds: UInt64) {
    if timer == nil { timer = LoopTimer(worker.loop) { [unowned self] in expired() } }
    timer?.arm(at: worker.loop.now + EventLoop.milliseconds(milliseconds))
  }

  private func expired() {
    guard channel.queued == 0 else {
      // A client that reads slowly is one that reads.
      return channel.isStuck() ? closeNow() : arm(worker.configuration.limits.idle)
    }
    switch state {
    case .head where parser.isInside: refuse(Refusal(408, "head-timeout"))
    // No byte of the content for the idle time, though it was asked for.
    case .content where exchange?.acceptsBody == true: closeNow()
    case .content, .done, .tunnel: arm(worker.configuration.limits.idle)
    case .head where worker.isDraining: linger()
    case .head, .lingering, .closed: closeNow()
    }
  }

  // MARK: Input

  func channelReady(_ channel: Channel) {
    guard let tls = channel.tls else { return }
    peerIdentity = tls.peer?.description
    let edge = worker.edge(service, source: peerIdentity)
    edge.counts.addHandshake(isResumed: tls.isResumed)
  }

  func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer) {
    if state == .lingering {
      lingered += bytes.count
      if lingered > HTTP1ServerConnection.lingerBytes { closeNow() }
      return
    }
    if isProcessing || !input.isEmpty {
      input.append(contentsOf: bytes)
      return processInput()
    }
    let consumed = process(bytes)
    guard state != .closed, state != .lingering, consumed < bytes.count else { return }
    input.append(contentsOf: bytes[consumed...])
    holdBack()
  }

  private func processInput() {
    guard !isProcessing, !input.isEmpty else { return }
    // Taken out, so that the handlers may append to it.
    let taken = input
    input = []
    let consumed = taken.withUnsafeBytes { process($0) }
    guard state != .closed, state != .lingering else { return }
    if consumed < taken.count { input.insert(contentsOf: taken[consumed...], at: 0) }
    holdBack()
  }

  /// Reads no further while enough waits here.
  private func holdBack() {
    if input.count >= HTTP1ServerConnection.inputLimit { channel.pauseReading() } else { channel.resumeReading() }
  }

  /// - Returns: how many bytes were taken; the rest waits for the response or for room.
  private func process(_ bytes: UnsafeRawBufferPointer) -> Int {
    isProcessing = true
    defer { isProcessing = false }
    var offset = 0
    do throws(HTTP1Failure) {
      while offset < bytes.count {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        switch state {
        case .head: offset += try readHead(rest)
        case .content:
          guard let exchange, exchange.acceptsBody else { return offset }
          offset += try readContent(rest, exchange)
        case .tunnel:
          guard let exchange, exchange.acceptsBody else { return offset }
          exchange.requestBody(rest)
          offset = bytes.count
        case .done, .lingering, .closed: return offset
        }
      }
    } catch {
      refuse(Refusal(error.status, "\(error.rawValue)"))
    }
    return offset
  }

  private func readHead(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Failure) -> Int {
    if !parser.isInside { arm(worker.configuration.limits.head) }
    let progress = try parser.parse(bytes)
    if progress.isComplete { begin() }
    return progress.consumed
  }

  private func readContent(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) throws(HTTP1Failure) -> Int {
    let step = try body.decode(bytes)
    arm(worker.configuration.limits.idle)
    if !step.content.isEmpty { exchange.requestBody(UnsafeRawBufferPointer(rebasing: bytes[step.content])) }
    if step.isEnd, state == .content {
      state = .done
      exchange.requestEnd(body.trailers.count > 0 ? body.trailers : nil)
    }
    return step.consumed
  }

  // MARK: Requests

  private func begin() {
    hasServed = true
    let head = parser.head
    parser.head = RequestHead()
    method = head.method
    minorVersion = head.minorVersion
    // A client of HTTP/1.0 would have to be told that its connection stays; it is rare enough to go without.
    keepsAlive = head.keepsAlive && minorVersion == 1 && !worker.isDraining
    asksUpgrade = head.asksUpgrade
    headSent = false
    sendsChunks = false
    body = BodyDecoder(head.framing)
    state = body.isEnded ? .done : .content
    arm(worker.configuration.limits.idle)
    service = worker.current(service)
    let exchange = Exchange(worker, service, head, downstream: self)
    self.exchange = exchange
    exchange.start()
  }

  private func refuse(_ refusal: Refusal) {
    // Mid-response there is nothing to say any more but that it is not whole.
    guard !headSent || state == .head else { return closeNow() }
    exchange?.requestAborted()
    exchange = nil
    keepsAlive = false
    minorVersion = 1
    let edge = worker.edge(service, source: peerIdentity)
    edge.counts.refusals[refusal.word, default: 0] += 1
    edge.counts.responses[refusal.status / 100] &+= 1
    edge.counts.requests += 1
    if refusal.status >= 500 { edge.counts.failures += 1 }
    let (head, text) = refusal.response(hop: "\(worker.configuration.pod)/\(service.direction.rawValue)")
    channel.append { output in
      head.write(to: &output, Forwarding(closes: true))
      output.append(contentsOf: text)
    }
    linger()
  }

  /// Closing with unread input would reset the connection and take the answer with it. The time begins when everything
  /// has been sent.
  private func linger() {
    state = .lingering
    input = []
    channel.endOutput()
    channel.awaitsDrain = true
    if !inputEnded { channel.resumeReading() }
    arm(worker.configuration.limits.idle)
  }

  func channelEnded(_ channel: Channel) {
    inputEnded = true
    switch state {
    case .head where channel.queued > 0: linger()
    case .lingering where channel.queued > 0: break
    case .head, .lingering: closeNow()
    case .content:
      // The rest of the request will never come.
      if input.isEmpty || exchange == nil { closeNow() }
    case .tunnel: exchange?.requestEnd(nil)
    case .done, .closed: break  // it may still wait for its response
    }
  }

  func channelDrained(_ channel: Channel) {
    guard state == .lingering else {
      exchange?.downstreamDrained()
      return
    }
    if inputEnded { closeNow() } else { arm(worker.configuration.limits.linger) }
  }

  func channelFailed(_ channel: Channel, _ failure: ChannelFailure) {
    if case .tls(let reason) = failure {
      worker.edge(service, source: peerIdentity).counts.refusals["tls-\(reason.word)", default: 0] += 1
    }
    closeNow()
  }

  // MARK: Responses

  func sendInterim(_ head: ResponseHead) {
    guard minorVersion == 1, !headSent else { return }
    channel.append { head.write(to: &$0) }
  }

  func sendHead(_ response: ResponseHead) {
    headSent = true
    if response.status == 101 { return switchProtocols(response) }
    var head = response
    head.stateEmptyContent(answering: method)
    switch head.framing {
    case .chunked, .untilClose:
      sendsChunks = minorVersion == 1
      if !sendsChunks { keepsAlive = false }
    case .none, .length: sendsChunks = false
    }
    // The rest of a request that nobody waits for any more would be taken for the next one.
    if state == .content, exchange == nil || exchange?.phase == .over { keepsAlive = false }
    if worker.isDraining { keepsAlive = false }
    let closes = !keepsAlive
    let chunks = sendsChunks
    channel.append { output in
      head.write(to: &output, Forwarding(closes: closes), chunked: chunks)
    }
  }

  private func switchProtocols(_ head: ResponseHead) {
    guard asksUpgrade else { return closeNow() }
    channel.append { head.write(to: &$0, Forwarding(keepsUpgrade: true)) }
    sendsChunks = false
    keepsAlive = false
    state = .tunnel
    worker.loop.enqueue { [weak self] in self?.processInput() }
  }

  func sendBody(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else { return }
    if !sendsChunks { return channel.append(bytes) }
    channel.append { output in
      output.appendChunkHeader(bytes.count)
      output.append(contentsOf: bytes)
      output.appendChunkEnd()
    }
  }

  func sendEnd(_ trailers: HeaderFields?) {
    if sendsChunks { channel.append { $0.appendLastChunk(trailers) } }
    takeBack()
    guard state == .done, keepsAlive, !worker.isDraining else { return linger() }
    if inputEnded, input.isEmpty { return linger() }
    state = .head
    parser.reset()
    arm(worker.configuration.limits.idle)
    // Deferred when the response came from within the request's own processing, which goes on by itself.
    if !isProcessing, !input.isEmpty { worker.loop.enqueue { [weak self] in self?.processInput() } }
  }

  /// The exchange is over: its head's memory serves the next request.
  private func takeBack() {
    if let exchange { swap(&parser.head, &exchange.head) }
    exchange = nil
  }

  func abortResponse() {
    exchange = nil
    if headSent {
      closeByReset()
    } else {
      refuse(Refusal(502, "upstream-failed service=\(service.name)"))
    }
  }

  var queued: Int { channel.queued }
  func awaitDrain() {
    channel.awaitsDrain = true
    arm(worker.configuration.limits.idle)
  }

  func pauseRequest() {}

  func resumeRequest() {
    if !isProcessing, !input.isEmpty { worker.loop.enqueue { [weak self] in self?.processInput() } }
  }

  // MARK: End

  func drain() {
    keepsAlive = false
    guard state == .head, !parser.isInside, input.isEmpty else { return }
    // Of one that has just been accepted the first request may be on its way.
    if hasServed { linger() } else { arm(HTTP1ServerConnection.firstRequestTime) }
  }

  private func closeByReset() {
    channel.abort()
    closed()
  }

  func closeNow() {
    channel.close()
    closed()
  }

  private func closed() {
    guard state != .closed else { return }
    state = .closed
    timer?.cancel()
    input = []
    exchange?.requestAborted()
    exchange = nil
    worker.remove(self)
  }
}
