// Attempts of one exchange: an endpoint, a connection, and what to do when either fails.
import EventLoop
import HTTP1
import NetTypes

extension Exchange {
  /// Of requests that never left, where there is another endpoint to go to.
  private var retriesWithoutPolicy: Int { (cluster?.endpoints.count ?? 0) > 1 ? 2 : 0 }

  func attempt() {
    guard phase != .over, let cluster else { return }
    guard
      let chosen = cluster.choose(hash: hash, excluding: endpoint, attempt: attempts, now: now, &worker.random)
    else {
      let version = worker.configuration.version
      return refuse(
        Refusal(
          503,
          "no-healthy-endpoint service=\(service.name) cluster=\(cluster.configuration.name)"
            + (version.isEmpty ? "" : " version=\(version)")))
    }
    endpoint = chosen
    follow(chosen.configuration.version, cluster)
    attempts += 1
    acquire(cluster, chosen)
  }

  private func acquire(_ cluster: ClusterRuntime, _ endpoint: EndpointRuntime) {
    if useKept(cluster, endpoint) { return }
    if cluster.counts.connections >= cluster.limits.connections, !cluster.closeOneIdle() {
      guard cluster.counts.waiting.count < cluster.limits.pending else {
        return refuse(Refusal(503, "overflow limit=pending cluster=\(cluster.configuration.name)"))
      }
      phase = .waiting
      // Which endpoint it will be is chosen when its turn comes: this one has not failed.
      self.endpoint = nil
      attempts -= 1
      cluster.counts.waiting.append(self)
      return
    }
    guard cluster.counts.connecting < cluster.limits.pending else {
      return refuse(Refusal(503, "overflow limit=pending cluster=\(cluster.configuration.name)"))
    }
    phase = .connecting
    attemptBegan = now
    endpoint.active += 1
    do {
      upstream =
        cluster.configuration.usesHTTP2
        ? try HTTP2ClientConnection(worker, cluster, endpoint, edge).stream(for: self)
        : try HTTP1ClientConnection(worker, cluster, endpoint, edge, for: self)
    } catch {
      endpoint.active -= 1
      upstreamFailed("connect: \(error)", neverSent: true, isConnect: true)
    }
  }

  /// Takes a connection that is there already.
  /// - Returns: whether there was one.
  private func useKept(_ cluster: ClusterRuntime, _ endpoint: EndpointRuntime) -> Bool {
    if cluster.configuration.usesHTTP2 {
      guard let connection = endpoint.multiplexed.first(where: \.hasRoom) else { return false }
      endpoint.active += 1
      let stream = connection.stream(for: self)
      guard connection.isConnecting else {
        connected(stream)
        return true
      }
      phase = .connecting
      attemptBegan = now
      upstream = stream
      return true
    }
    guard let connection = endpoint.idle.popLast() else { return false }
    endpoint.active += 1
    connection.take(self)
    connected(connection)
    return true
  }

  /// What decides the endpoint where the cluster has a hash ring.
  private var hash: UInt64 {
    guard case .ringHash(let header) = cluster?.configuration.balancing else { return 0 }
    if let header, let value = head.fields.first(header) { return HashRing.hash(value.utf8) }
    return HashRing.hash(downstream?.peerAddress?.address.bytes ?? [])
  }

  /// The connection stands and is this request's.
  func connected(_ stream: any UpstreamStream) {
    guard phase != .over else { return stream.cancel() }
    upstream = stream
    phase = .sent
    attemptBegan = now
    if worker.observation.isWatching { serverIdentity = stream.peerIdentity }
    if let limit = route?.rule.timeouts.backendRequest { armAttemptTimer(limit) }
    stream.sendHead(head)
    if !replay.isEmpty { replay.withUnsafeBytes { stream.sendBody($0) } }
    if requestEnded { return stream.sendEnd(trailers) }
    acceptsBody = true
    downstream?.resumeRequest()
  }

  private func armAttemptTimer(_ milliseconds: UInt64) {
    let timer = LoopTimer(worker.loop) { [weak self] in self?.attemptTimedOut() }
    timer.arm(at: now + EventLoop.milliseconds(milliseconds))
    attemptTimer = timer
  }

  private func attemptTimedOut() {
    guard phase == .sent else { return }
    upstream?.cancel()
    upstreamFailed("backend-timeout", neverSent: false, isConnect: false, status: 504)
  }

  /// The attempt has failed; the stream is closed already.
  /// - Parameter neverSent: nothing of the request can have reached an application.
  func upstreamFailed(_ reason: String, neverSent: Bool, isConnect: Bool, status: Int = 502) {
    guard phase != .over else { return }
    let wasReused = upstream?.isReused ?? false
    if phase == .responding {
      detachUpstream()
      return abort()
    }
    attemptTimer?.cancel()
    acceptsBody = false
    downstream?.pauseRequest()
    // A kept connection that its server closes at the same moment says nothing about the server's health.
    if !wasReused { noteOutcome(isConnect ? .connectFailure : .gatewayError) }
    if isConnect { edge.counts.connectionsFailed += 1 }
    detachUpstream()
    // The application may listen on the pod's own address alone: that is no retry.
    if isConnect, service.direction == .inbound, attempts < cluster?.endpoints.count ?? 0 { return attempt() }
    let repeatable = neverSent ? canRepeat : mayRepeat
    if repeatable {
      if wasReused, !usedFreeRetry {
        usedFreeRetry = true
        edge.counts.retries += 1
        return attempt()
      }
      let policy = route?.rule.retry ?? RetryPolicy(attempts: neverSent ? retriesWithoutPolicy : 0)
      if beginRetry(policy) { return neverSent ? retryNow() : retryLater(policy) }
    }
    let word = isConnect ? "connect-failed" : status == 504 ? "backend-timeout" : "upstream-failed"
    let detail = reason.replacing(" ", with: "-")
    let where_ = endpoint.map { " endpoint=\($0.configuration.address)" } ?? ""
    refuse(
      Refusal(
        isConnect ? 503 : status, "\(word) service=\(service.name)\(where_) because=\(detail) attempts=\(attempts)"))
  }

  /// Whether the request may be sent again though it may have arrived.
  var mayRepeat: Bool { method.isIdempotent && canRepeat && !head.asksUpgrade }

  /// Whether its content is still here.
  var canRepeat: Bool { bytesToServer == 0 || keepsReplay }

  /// Takes a retry from the policy and the budget.
  func beginRetry(_ policy: RetryPolicy) -> Bool {
    guard let cluster, retries < policy.attempts else { return false }
    if !isRetrying {
      let underWay = cluster.counts.requests
      guard cluster.counts.budget.begin(percent: policy.budgetPercent, requestsUnderWay: underWay) else { return false }
      isRetrying = true
    }
    retries += 1
    edge.counts.retries += 1
    return true
  }

  func retryNow() { attempt() }

  func retryLater(_ policy: RetryPolicy) {
    phase = .delayed
    let wait = RetryBudget.backoff(policy.backoff, retry: retries, &worker.random)
    let timer = LoopTimer(worker.loop) { [weak self] in self?.attempt() }
    timer.arm(at: now + EventLoop.milliseconds(wait))
    attemptTimer = timer
  }

  func noteOutcome(_ outcome: OutlierDetector.Outcome) {
    guard let cluster, let endpoint else { return }
    if cluster.note(outcome, endpoint, now: now) { edge.counts.ejections += 1 }
  }

  /// Forgets the stream of this attempt, which is closed, cancelled or given back.
  func detachUpstream() {
    guard upstream != nil else { return }
    upstream = nil
    endpoint?.active -= 1
  }
}

extension ClusterRuntime {
  /// Makes room for a connection to an endpoint that has none idle.
  func closeOneIdle() -> Bool {
    for endpoint in endpoints {
      if let connection = endpoint.idle.popLast() {
        connection.close()
        return true
      }
      if let connection = endpoint.multiplexed.first(where: \.isUnused) {
        connection.close()
        return true
      }
    }
    return false
  }

  /// A connection has come free or is gone: the request that has waited longest goes on.
  func serveWaiting() {
    counts.waiting.popFirst()?.attempt()
  }
}
