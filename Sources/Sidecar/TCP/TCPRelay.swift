// One client's TCP connection and the connection to an endpoint that it is passed on to, each in the clear or by TLS.
// Bytes go straight from one read to one write; what the other side does not take stops the reading here. The end of a
// stream and a reset are passed on as what they are.
//
//   choosing ─► connecting ─(failed: another endpoint)─► relaying ─► over
//                                                           └─ bulk, both in the clear: SplicedPair
import EventLoop
import Glibc
import NetTypes
import TLS

final class TCPRelay: ChannelOwner, Drainable {
  private let worker: Worker
  private let client: Channel
  private let service: ServiceRuntime
  private let clientAddress: SocketAddress?
  private var server: Channel?
  private var refused: String?
  private var cluster: ClusterRuntime?
  private var endpoint: EndpointRuntime?
  private var edge: Edge
  private var attempts = 0
  private var isRelaying = false
  private var clientEnded = false
  private var serverEnded = false
  private var fullReads = 0
  private var timer: LoopTimer?
  private var isOver = false
  private let began: UInt64

  private static let mostAttempts = 3
  /// Reads in a row that fill the buffer before a connection counts as bulk.
  private static let bulkReads = 4

  init(_ worker: Worker, _ client: Channel, _ arrival: Arrival) {
    self.worker = worker
    self.client = client
    service = arrival.service
    clientAddress = arrival.client
    edge = worker.edge(service)
    began = worker.loop.now
  }

  func start() {
    client.owner = self
    worker.add(self)
    arm(worker.configuration.limits.head)
    if client.isOpen {
      channelReady(client)
    }
  }

  // MARK: Connecting

  private var identity: String? { client.tls?.peer?.description }

  private func begin() {
    if let inbound = service.inbound {
      if let refusal = inbound.refusal(identity: identity) { return refuse(refusal.word) }
      if inbound.isOverRate(now: worker.loop.now) { return refuse("rate-limited") }
    }
    client.pauseReading()
    guard let cluster = service.routes.first?.drawBackend(&worker.random)?.cluster else { return refuse("no-route") }
    self.cluster = cluster
    edge = worker.edge(service, cluster.configuration.name, source: identity, version: cluster.version)
    guard cluster.counts.connections < cluster.limits.connections else { return refuse("overflow") }
    connect(cluster)
  }

  private func connect(_ cluster: ClusterRuntime) {
    attempts += 1
    let hash = HashRing.hash((clientAddress?.address.bytes ?? []))
    guard
      let endpoint = cluster.choose(
        hash: hash, excluding: endpoint, attempt: attempts - 1, now: worker.loop.now, &worker.random)
    else { return refuse("no-healthy-endpoint") }
    self.endpoint = endpoint
    if endpoint.configuration.version != edge.name.version {
      edge = worker.edge(
        service, cluster.configuration.name, source: identity, version: endpoint.configuration.version)
    }
    do {
      server = try worker.connect(cluster, endpoint, .tcp, owner: self)
      cluster.counts.connections += 1
      endpoint.active += 1
      arm(cluster.configuration.connectTimeout)
    } catch {
      note(.connectFailure)
      refuse("connect-failed")
    }
  }

  private func connectFailed() {
    edge.counts.connectionsFailed += 1
    note(.connectFailure)
    releaseServer()
    guard let cluster else { return }
    guard attempts < min(TCPRelay.mostAttempts, cluster.endpoints.count) else { return refuse("connect-failed") }
    edge.counts.retries += 1
    connect(cluster)
  }

  private func note(_ outcome: OutlierDetector.Outcome) {
    guard let cluster, let endpoint else { return }
    if cluster.note(outcome, endpoint, now: worker.loop.now) { edge.counts.ejections += 1 }
  }

  private func releaseServer() {
    guard let server else { return }
    self.server = nil
    server.close()
    cluster?.counts.connections -= 1
    endpoint?.active -= 1
  }

  func channelReady(_ channel: Channel) {
    if channel === client {
      if let tls = channel.tls {
        edge = worker.edge(service, source: identity)
        edge.counts.addHandshake(isResumed: tls.isResumed)
      }
      return begin()
    }
    isRelaying = true
    edge.counts.connectionsOpened += 1
    edge.counts.requests += 1
    edge.counts.latency.add(nanoseconds: worker.loop.now &- began)
    edge.counts.active += 1
    if let tls = channel.tls {
      edge.counts.addHandshake(isResumed: tls.isResumed)
    }
    note(.success)
    touch()
    client.resumeReading()
  }

  // MARK: Relaying

  func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer) {
    guard let server else { return }
    let other = channel === client ? server : client
    other.write(bytes)
    touch()
    if other.queued > 0 {
      channel.pauseReading()
      other.awaitsDrain = true
    }
    fullReads = bytes.count == worker.loop.scratch.count ? fullReads + 1 : 0
    if fullReads >= TCPRelay.bulkReads { splice(server) }
  }

  func channelDrained(_ channel: Channel) {
    if drainedEnds {
      if client.isFlushed, server?.isFlushed ?? true { end(byReset: false) }
      return
    }
    (channel === client ? server : client)?.resumeReading()
  }

  func channelEnded(_ channel: Channel) {
    guard let server else { return end(byReset: false) }
    if channel === client {
      clientEnded = true
      server.endOutput()
    } else {
      serverEnded = true
      client.endOutput()
    }
    if clientEnded, serverEnded { finishWhenSent(server) }
  }

  /// Both streams have ended; what is queued still goes out.
  private func finishWhenSent(_ server: Channel) {
    if client.isFlushed, server.isFlushed { return worker.loop.enqueue { [self] in end(byReset: false) } }
    for channel in [client, server] where !channel.isFlushed { channel.awaitsDrain = true }
    drainedEnds = true
  }

  private var drainedEnds = false {
    didSet { if drainedEnds { arm(worker.configuration.limits.idle) } }
  }

  func channelFailed(_ channel: Channel, _ failure: ChannelFailure) {
    if channel === server, !isRelaying { return connectFailed() }
    if case .tls(let reason) = failure, channel === client, server == nil {
      edge.counts.refusals["tls-\(reason.word)", default: 0] += 1
    }
    end(byReset: true)
  }

  /// Whether the connection was handed over.
  private func splice(_ server: Channel) {
    fullReads = 0
    guard !staysCopied, client.tls == nil, server.tls == nil, client.queued == 0, server.queued == 0, !clientEnded,
      !serverEnded
    else { return }
    // The pipes first: without descriptors for them it goes on as it is.
    let pipes: SplicedPair.Pipes
    do throws(SystemError) {
      pipes = try SplicedPair.Pipes()
    } catch {
      staysCopied = true
      return worker.report("splice: \(error.text)")
    }
    guard let clientSocket = client.detach() else { return pipes.close() }
    guard let serverSocket = server.detach() else {
      pipes.close()
      return end(byReset: true)
    }
    let (sent, received) = (client.received, server.received)
    let limit = EventLoop.milliseconds(worker.configuration.limits.tcpIdle)
    let pair = SplicedPair(
      worker.loop, client: clientSocket, server: serverSocket, pipes, idleLimit: limit
    ) { [self] forward, backward in
      spliced = nil
      account(sent &+ forward, received &+ backward)
      tell(sent &+ forward, received &+ backward)
      finish()
    }
    spliced = pair
    timer?.cancel()
    pair.start()
  }

  private var staysCopied = false

  private var spliced: SplicedPair?

  // MARK: End

  private func refuse(_ reason: String) {
    edge.counts.refusals[reason, default: 0] += 1
    refused = "\(worker.configuration.pod)/\(service.direction.rawValue); \(reason) service=\(service.name)"
    edge.counts.requests += 1
    edge.counts.failures += 1
    end(byReset: true)
  }

  private func end(byReset: Bool) {
    guard !isOver else { return }
    account(client.received, server?.received ?? 0)
    tell(client.received, server?.received ?? 0)
    if byReset {
      client.abort()
      server?.abort()
    } else {
      client.close()
      server?.close()
    }
    finish()
  }

  /// Once, at the end, while the channels are still there.
  private func tell(_ toServer: UInt64, _ toClient: UInt64) {
    let taps = worker.observation.taps
    guard taps.isActive else { return }
    let line = TapRecord.line(
      service, endpoint, client: clientAddress, source: identity, server: server?.tls?.peer?.description,
      nanoseconds: worker.loop.now &- began, toServer: toServer, toClient: toClient, refused: refused)
    taps.offer(line) { $0.matches(service: service.name, method: nil, path: nil, status: 0) }
  }

  private func account(_ toServer: UInt64, _ toClient: UInt64) {
    edge.counts.bytesToServer &+= toServer
    edge.counts.bytesToClient &+= toClient
  }

  private func finish() {
    guard !isOver else { return }
    isOver = true
    timer?.cancel()
    if isRelaying { edge.counts.active -= 1 }
    if server != nil {
      server = nil
      cluster?.counts.connections -= 1
      endpoint?.active -= 1
    }
    worker.remove(self)
  }

  private func touch() {
    let limit = worker.configuration.limits.tcpIdle
    if limit == 0 { timer?.cancel() } else { arm(limit) }
  }

  private func arm(_ milliseconds: UInt64) {
    if timer == nil { timer = LoopTimer(worker.loop) { [unowned self] in expired() } }
    timer?.arm(at: worker.loop.now + EventLoop.milliseconds(milliseconds))
  }

  private func expired() {
    if server != nil, !isRelaying { return connectFailed() }
    if drainedEnds, let server {
      // Both looks are taken, each side's own.
      let stuck = [client.isStuck(), server.isStuck()]
      if !stuck.contains(true), client.queued > 0 || server.queued > 0 {
        return arm(worker.configuration.limits.idle)
      }
    }
    end(byReset: true)
  }

  /// TCP has no end that could be asked for: it goes on until the time for draining is over.
  func drain() {}

  func closeNow() {
    if let spliced { return spliced.closeNow() }
    end(byReset: true)
  }
}
