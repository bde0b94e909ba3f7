// One request and its response: policy, route, endpoint, attempts, and the content both ways with back-pressure.
// It knows nothing of versions of HTTP.
//
//   start ─► policy ─► route ─► [fault delay] ─► attempt ─► connecting ─► sent ─► responding ─► over
//                 │        │                        ▲           │           │
//                 └────────┴─► refusal              └─ backoff ◄┴───────────┘ failed, or a status to retry on
//
// A request is sent again only before the first byte of its response, and only when it never left or may be repeated
// (RFC 9110 section 9.2.2) and its content is still here.
import EventLoop
import HTTP1

final class Exchange {
  enum Phase { case new, delayed, waiting, connecting, sent, responding, over }

  let worker: Worker
  let service: ServiceRuntime
  /// The head as it goes out; given back to the downstream's parser at the end.
  var head: RequestHead
  let method: RequestMethod
  weak var downstream: (any DownstreamStream)?
  var upstream: (any UpstreamStream)?
  var phase = Phase.new
  var route: RouteRuntime?
  var cluster: ClusterRuntime?
  var endpoint: EndpointRuntime?
  var edge: Edge
  let began: UInt64
  var attemptBegan: UInt64 = 0
  var attempts = 0
  var retries = 0
  /// A share of the cluster's retry budget is taken.
  var isRetrying = false
  /// The one repetition after a kept connection that turned out to be closed.
  var usedFreeRetry = false
  var status = 0
  var refusedBecause = ""
  /// The hop that refused and why, as the response says; kept while somebody looks.
  var refusedBy: String?
  /// The SPIFFE identity of the endpoint; kept while somebody looks.
  var serverIdentity: String?
  var trace: TraceContext?
  /// The response was cut short, or its gRPC status says so.
  var failed = false
  var bytesToServer: UInt64 = 0
  var bytesToClient: UInt64 = 0
  /// Whether the downstream may hand over content now.
  var acceptsBody = false
  var requestEnded: Bool
  var trailers: HeaderFields?
  /// The content so far, while it may have to be sent again.
  var replay: [UInt8] = []
  var keepsReplay: Bool
  var isTunnel = false
  let isGRPC: Bool
  /// How a gRPC call ended.
  var grpcStatus: Int?
  var requestTimer: LoopTimer?
  var attemptTimer: LoopTimer?
  /// Called once when everything is over.
  var onOver: ((Exchange) -> Void)?

  static let replayLimit = 65536
  static let highWater = 65536

  init(_ worker: Worker, _ service: ServiceRuntime, _ head: RequestHead, downstream: (any DownstreamStream)?) {
    self.worker = worker
    self.service = service
    self.head = head
    self.downstream = downstream
    method = head.method
    began = worker.loop.now
    requestEnded = head.framing == .none
    isGRPC = GRPCStatus.isCall(head)
    // A call may be sent again where its server has done nothing for it, or where its route says so.
    keepsReplay = head.framing != .none && (head.method.isIdempotent || isGRPC)
    edge = worker.edge(service, source: downstream?.peerIdentity)
  }

  var now: UInt64 { worker.loop.now }

  // MARK: Beginning

  func start() {
    if let inbound = service.inbound {
      if let refusal = inbound.refusal(identity: downstream?.peerIdentity) { return refuse(refusal) }
      if inbound.isOverRate(now: now) { return refuse(Refusal(429, "rate-limited service=\(service.name)")) }
    }
    guard let (route, prefix) = service.route(for: head) else {
      return refuse(Refusal(404, "no-route service=\(service.name)"))
    }
    self.route = route
    let rule = route.rule
    if let milliseconds = rule.timeouts.request { armRequestTimer(milliseconds) }
    if let fault = rule.fault {
      if worker.random.chance(percent: fault.abortPercent) {
        return refuse(Refusal(fault.abortStatus, "fault-injected service=\(service.name)"))
      }
      if fault.delay > 0, worker.random.chance(percent: fault.delayPercent) {
        phase = .delayed
        attemptTimer = worker.loop.after(EventLoop.milliseconds(fault.delay)) { [weak self] in self?.choose(prefix) }
        return
      }
    }
    choose(prefix)
  }

  private func choose(_ prefix: String) {
    guard let route, phase != .over else { return }
    let rule = route.rule
    if let redirect = rule.redirect { return respond(redirect, prefix) }
    if let status = rule.directResponse { return refuse(Refusal(status, "direct-response service=\(service.name)")) }
    guard let (cluster, backend) = route.drawBackend(&worker.random) else {
      return refuse(Refusal(503, "no-backend service=\(service.name)"))
    }
    self.cluster = cluster
    self.backend = backend
    edge = worker.edge(
      service, cluster.configuration.name, source: downstream?.peerIdentity, version: cluster.version)
    guard cluster.counts.requests < cluster.limits.requests else {
      return refuse(Refusal(503, "overflow limit=requests cluster=\(cluster.configuration.name)"))
    }
    cluster.counts.requests += 1
    edge.counts.active += 1
    isCounted = true
    if !rule.requestHeaders.isEmpty { head.fields.apply(rule.requestHeaders) }
    if !backend.requestHeaders.isEmpty { head.fields.apply(backend.requestHeaders) }
    if let rewrite = rule.rewrite { head.apply(rewrite, prefix) }
    beginSpan()
    for mirror in route.mirrors where worker.random.chance(percent: mirror.percent) {
      mirrorTargets.append(mirror.cluster)
    }
    if !mirrorTargets.isEmpty {
      keepsReplay = true
      if requestEnded { startMirror() }
    }
    attempt()
  }

  private var isCounted = false
  private var mirrorTargets: [ClusterRuntime] = []
  private var backend: WeightedBackend?

  private func startMirror() {
    let targets = mirrorTargets
    mirrorTargets = []
    guard requestEnded, replay.isEmpty || keepsReplay else { return }
    for target in targets { MirroredRequest.start(worker, to: target, head, content: replay, trailers: trailers) }
  }

  // MARK: The request's content

  func requestBody(_ bytes: UnsafeRawBufferPointer) {
    guard phase != .over, let upstream else { return }
    bytesToServer &+= UInt64(bytes.count)
    if keepsReplay {
      if replay.count + bytes.count <= Exchange.replayLimit {
        replay.append(contentsOf: bytes)
      } else {
        keepsReplay = false
        replay = []
        mirrorTargets = []
      }
    }
    upstream.sendBody(bytes)
    if upstream.queued > Exchange.highWater {
      acceptsBody = false
      upstream.awaitDrain()
      downstream?.pauseRequest()
    }
  }

  func requestEnd(_ trailers: HeaderFields?) {
    if isTunnel { upstream?.sendEnd(nil) }
    guard phase != .over, !requestEnded else { return }
    requestEnded = true
    self.trailers = trailers
    startMirror()
    upstream?.sendEnd(trailers)
  }

  /// The client is gone.
  func requestAborted() {
    guard phase != .over else { return }
    upstream?.cancel()
    detachUpstream()
    finish()
  }

  func upstreamDrained() {
    guard phase != .over else { return }
    acceptsBody = !requestEnded || isTunnel
    downstream?.resumeRequest()
  }

  func downstreamDrained() { upstream?.resumeResponse() }

  // MARK: The response

  func responseInterim(_ interim: ResponseHead) {
    guard phase == .sent else { return }
    downstream?.sendInterim(interim)
  }

  func responseHead(_ response: ResponseHead) {
    guard phase == .sent else { return }
    attemptTimer?.cancel()
    // A call that fails before its first message says so in its head.
    if isGRPC { grpcStatus = GRPCStatus.read(response.fields) }
    let meaning = grpcStatus.map(GRPCStatus.httpStatus) ?? response.status
    noteOutcome(OutlierDetector.Outcome(status: meaning))
    endpoint?.note(latency: now &- attemptBegan)
    if let policy = route?.rule.retry, policy.codes.contains(meaning), isGRPC ? canRepeat : mayRepeat,
      beginRetry(policy)
    {
      grpcStatus = nil
      // What comes meanwhile waits for the next attempt.
      acceptsBody = false
      downstream?.pauseRequest()
      upstream?.cancel()
      detachUpstream()
      return retryLater(policy)
    }
    phase = .responding
    if mirrorTargets.isEmpty {
      keepsReplay = false
      replay = []
    }
    status = response.status
    if status == 101 { isTunnel = true }
    if worker.observation.isWatching { refusedBy = response.fields.first("netloom-refused") }
    let changes = [route?.rule.responseHeaders, backend?.responseHeaders].compactMap { $0 }.filter { !$0.isEmpty }
    guard !changes.isEmpty else {
      downstream?.sendHead(response)
      if isTunnel { upstreamDrained() }
      return
    }
    var changed = response
    for change in changes { changed.fields.apply(change) }
    downstream?.sendHead(changed)
    if isTunnel { upstreamDrained() }
  }

  func responseBody(_ bytes: UnsafeRawBufferPointer) {
    guard phase == .responding, let downstream else { return }
    bytesToClient &+= UInt64(bytes.count)
    downstream.sendBody(bytes)
    if downstream.queued > Exchange.highWater {
      upstream?.pauseResponse()
      downstream.awaitDrain()
    }
  }

  func responseEnd(_ trailers: HeaderFields?) {
    guard phase == .responding else { return }
    detachUpstream()
    if isGRPC, let trailers { grpcStatus = GRPCStatus.read(trailers) ?? grpcStatus }
    let downstream = self.downstream
    finish()
    downstream?.sendEnd(trailers)
  }

  // MARK: End

  func armRequestTimer(_ milliseconds: UInt64) {
    let timer = LoopTimer(worker.loop) { [weak self] in self?.requestTimedOut() }
    timer.arm(at: began + EventLoop.milliseconds(milliseconds))
    requestTimer = timer
  }

  private func requestTimedOut() {
    guard phase != .over else { return }
    if phase == .sent { noteOutcome(.gatewayError) }
    upstream?.cancel()
    detachUpstream()
    if phase == .responding { return abort() }
    refuse(Refusal(504, "request-timeout service=\(service.name) attempts=\(attempts)"))
  }

  func abort() {
    failed = true
    let downstream = self.downstream
    finish()
    downstream?.abortResponse()
  }

  func refuse(_ refusal: Refusal) {
    guard phase != .over else { return }
    status = refusal.status
    refusedBecause = refusal.word
    if worker.observation.isWatching {
      refusedBy = "\(worker.configuration.pod)/\(service.direction.rawValue); \(refusal.reason)"
    }
    edge.counts.refusals[refusal.word, default: 0] += 1
    let hop = "\(worker.configuration.pod)/\(service.direction.rawValue)"
    if isGRPC {
      let status = GRPCStatus.of(refusal.status)
      grpcStatus = status
      return answer(refusal.grpcResponse(hop: hop, status), [])
    }
    let response = refusal.response(hop: hop)
    answer(response.head, response.body)
  }

  private func respond(_ redirect: Redirect, _ prefix: String) {
    status = redirect.status
    answer(redirect.response(to: head, prefix), [])
  }

  private func answer(_ response: ResponseHead, _ body: [UInt8]) {
    let downstream = self.downstream
    finish()
    downstream?.sendHead(response)
    if !body.isEmpty, method != .head { body.withUnsafeBytes { downstream?.sendBody($0) } }
    downstream?.sendEnd(nil)
  }

  func finish() {
    guard phase != .over else { return }
    let waited = phase == .waiting
    phase = .over
    if waited { cluster?.counts.waiting.leave() }
    acceptsBody = false
    requestTimer?.cancel()
    attemptTimer?.cancel()
    if isRetrying { cluster?.counts.budget.end() }
    detachUpstream()
    if isCounted {
      cluster?.counts.requests -= 1
      edge.counts.active -= 1
    }
    let time = now &- began
    countOutcome(time)
    edge.counts.bytesToServer &+= bytesToServer
    edge.counts.bytesToClient &+= bytesToClient
    if worker.observation.isWatching { tell(time) }
    if worker.configuration.accessLog != .off { worker.accessLog.note(self, nanoseconds: time) }
    onOver?(self)
    onOver = nil
  }
}
