// One thread of the sidecar: an event loop, listening sockets of its own (the kernel spreads connections over the
// workers), clusters with their pools, and counts. Nothing in it is shared; other threads talk to it by `WorkerMailbox`.
//
//   Sidecar.apply ─► mailbox ─► adopt: clusters, services, listeners replaced; connections go on with what they hold
import EventLoop
import Glibc
import HTTP1
import NetTypes
import Synchronization
import TLS

/// What tells the clusters of a pod's own ports apart.
private struct LocalClusterName: Hashable {
  let addresses: [SocketAddress]
  let usesHTTP2: Bool
  let source: IPAddress?
}

/// Work for a worker from any thread.
final class WorkerMailbox: Sendable {
  private let work = Mutex<[@Sendable (Worker) -> Void]>([])
  private let waker = Mutex<Waker?>(nil)

  func open(_ worker: Worker) throws(SystemError) {
    let made = try worker.loop.waker { [unowned worker] in
      for item in self.take() { item(worker) }
    }
    waker.withLock { $0 = made }
    made.wake()
  }

  func send(_ item: @escaping @Sendable (Worker) -> Void) {
    work.withLock { $0.append(item) }
    waker.withLock { $0 }?.wake()
  }

  private func take() -> [@Sendable (Worker) -> Void] {
    work.withLock { items in
      defer { items = [] }
      return items
    }
  }
}

final class Worker {
  let loop: EventLoop
  let flushQueue: FlushQueue
  let outputBuffer = OutputBuffer()
  let index: Int
  let workers: Int
  var random: FastRandom
  private(set) var runtime: RuntimeConfiguration
  private(set) var clusters: [String: ClusterRuntime] = [:]
  private var localClusters: [LocalClusterName: ClusterRuntime] = [:]
  /// Grows with each configuration.
  private(set) var generation: UInt64 = 0
  private(set) var services: [String: ServiceRuntime] = [:]
  private var byAddress: [SocketAddress: ServiceRuntime] = [:]
  private var inbound: [UInt16: InboundRuntime] = [:]
  private var listeners: [Listener: Acceptor] = [:]
  private var edges = EdgeTable()
  private(set) var isDraining = false
  /// Under way.
  var mirroredRequests = 0
  private var onDrained: (() -> Void)?
  /// Client connections, by identity; each takes itself out.
  private var clients: [ObjectIdentifier: any Drainable] = [:]
  let accessLog: AccessLog
  let observation: Observation
  /// Says what cannot be answered to anybody.
  let report: (String) -> Void

  init(
    _ loop: EventLoop, index: Int, workers: Int, _ runtime: RuntimeConfiguration, _ observation: Observation,
    report: @escaping (String) -> Void
  ) {
    self.observation = observation
    self.loop = loop
    flushQueue = FlushQueue(loop)
    self.index = index
    self.workers = workers
    self.runtime = runtime
    self.report = report
    random = FastRandom()
    accessLog = AccessLog(loop)
  }

  var configuration: SidecarConfiguration { runtime.source }
  var edgeSnapshot: [EdgeName: EdgeCounts] { edges.snapshot }
  var clientCount: Int { clients.count }

  /// - Parameters:
  ///   - source: the client's identity, of what comes in.
  ///   - version: of the endpoint, of what goes out.
  func edge(
    _ service: ServiceRuntime, _ cluster: String = "", source: String? = nil, version: String = ""
  ) -> Edge {
    edges.edge(
      EdgeName(
        direction: service.direction, service: service.name, cluster: cluster,
        source: service.direction == .inbound ? source ?? "" : "", version: version))
  }
}

/// A client's connection that can be asked to come to its end.
protocol Drainable: AnyObject {
  /// Finish what is under way and close then; at once where nothing is.
  func drain()
  func closeNow()
}

// MARK: - Configuration

extension Worker {
  /// Replaces everything at once. Throws only where a listener cannot be opened; the rest is in force then all the same.
  func adopt(_ new: RuntimeConfiguration) throws(SystemError) {
    runtime = new
    generation += 1
    let old = clusters
    clusters = [:]
    for cluster in new.source.clusters {
      clusters[cluster.name] = ClusterRuntime(
        cluster, contexts: cluster.tls == nil ? nil : new.contexts, workers: workers, keeping: old[cluster.name])
    }
    for (name, cluster) in old where clusters[name] == nil { cluster.retire() }
    var made: [String: ServiceRuntime] = [:]
    byAddress = [:]
    for service in new.source.services {
      let runtime = ServiceRuntime(
        name: service.name, direction: .outbound, service.applicationProtocol,
        routes: service.routes.map { RouteRuntime($0, clusters: clusters) }, generation: generation)
      made[service.name] = runtime
      for address in service.addresses { byAddress[address] = runtime }
    }
    services = made
    let oldInbound = inbound
    inbound = [:]
    for port in new.source.inbound {
      inbound[port.port] = InboundRuntime(port, workers: workers, now: loop.now, keeping: oldInbound[port.port])
    }
    try openListeners(new.source.listeners)
  }

  private func openListeners(_ wanted: [Listener]) throws(SystemError) {
    for listener in listeners.keys where !wanted.contains(listener) { listeners.removeValue(forKey: listener)?.close() }
    guard !isDraining else { return }
    for listener in wanted where listeners[listener] == nil {
      listeners[listener] = try Acceptor(self, listener)
    }
  }

  func localAddress(_ listener: Listener) -> SocketAddress? { listeners[listener]?.local }

  /// Where a captured connection leads; nil where nothing is known of it.
  func service(for destination: SocketAddress) -> ServiceRuntime? { byAddress[destination] }

  /// - Parameter source: whose address the program is to see; nil: the sidecar's.
  func inboundService(port: UInt16, destination: SocketAddress, source: IPAddress? = nil) -> ServiceRuntime? {
    guard let runtime = inbound[port] else { return nil }
    let target = runtime.port.target ?? destination
    let name = runtime.port.service.isEmpty ? "port-\(port)" : runtime.port.service
    return ServiceRuntime(
      name: name, direction: .inbound, runtime.port.applicationProtocol,
      routes: [
        RouteRuntime(
          to: localCluster(
            target, runtime.port.fallsBackToDestination ? destination : nil, runtime.port.applicationProtocol, source))
      ],
      inbound: runtime, destination: destination, source: source, generation: generation)
  }

  /// What a connection's next request is for: a connection outlives configurations, its requests follow them.
  func current(_ service: ServiceRuntime) -> ServiceRuntime {
    if service.generation == generation { return service }
    guard let inbound = service.inbound, let destination = service.destination else {
      return services[service.name] ?? service
    }
    return inboundService(port: inbound.port.port, destination: destination, source: service.source) ?? service
  }

  /// A connection to an address that is no service's, passed on as it came.
  func passthrough(to destination: SocketAddress) -> ServiceRuntime {
    let cluster = ClusterRuntime(
      Cluster("passthrough", [Endpoint(destination)]), contexts: nil, workers: workers, keeping: nil)
    return ServiceRuntime(name: "passthrough", direction: .outbound, .tcp, routes: [RouteRuntime(to: cluster)])
  }

  private static let mostLocalClusters = 1024

  private static func loopback(_ family: AddressFamily) -> IPAddress {
    family == .ipv4 ? .v4(IPv4Address(rawValue: 0x7F00_0001)) : .v6(IPv6Address(high: 0, low: 1))
  }

  /// The application's own port. There are as many as a pod has addresses and ports, and for each client's address that
  /// the program is to see: then loopback of the client's family comes first, and the target as it is last.
  private func localCluster(
    _ target: SocketAddress, _ destination: SocketAddress?, _ applicationProtocol: ApplicationProtocol,
    _ source: IPAddress?
  ) -> ClusterRuntime {
    var addresses = [target]
    if let source, source.family != target.address.family, target.address.isLoopback {
      addresses.insert(SocketAddress(Self.loopback(source.family), target.port), at: 0)
    }
    if let destination {
      let fallback = SocketAddress(destination.address, target.port)
      if !addresses.contains(fallback) { addresses.insert(fallback, at: 1) }
    }
    let usesHTTP2 = applicationProtocol == .http2 || applicationProtocol == .grpc
    let name = LocalClusterName(addresses: addresses, usesHTTP2: usesHTTP2, source: source)
    if let cluster = localClusters[name] { return cluster }
    let endpoints = addresses.enumerated().map { Endpoint($1, priority: $0) }
    var configuration = Cluster("local", endpoints)
    configuration.circuitBreaker = CircuitBreaker(connections: 16384, pending: 16384, requests: 65536)
    configuration.usesHTTP2 = usesHTTP2
    let cluster = ClusterRuntime(
      configuration, contexts: nil, workers: workers, keeping: nil, isLocal: true, source: source)
    if localClusters.count >= Self.mostLocalClusters, let other = localClusters.keys.first {
      localClusters.removeValue(forKey: other)?.retire()
    }
    localClusters[name] = cluster
    return cluster
  }
}

// MARK: - Clients

extension Worker {
  var mayAccept: Bool { clients.count < configuration.limits.connections }

  func add(_ client: some Drainable) { clients[ObjectIdentifier(client)] = client }

  func remove(_ client: some Drainable) {
    guard clients.removeValue(forKey: ObjectIdentifier(client)) != nil else { return }
    if clients.count + 1 == configuration.limits.connections { for acceptor in listeners.values { acceptor.resume() } }
    if isDraining, clients.isEmpty { finishDrain() }
  }

  /// Takes no more connections, lets requests under way end, then calls back.
  func drain(_ done: @escaping () -> Void) {
    isDraining = true
    onDrained = done
    for acceptor in listeners.values { acceptor.acceptRest() }
    for acceptor in listeners.values { acceptor.close() }
    listeners = [:]
    for client in Array(clients.values) { client.drain() }
    if clients.isEmpty { return finishDrain() }
    loop.after(EventLoop.milliseconds(configuration.limits.drain)) { [weak self] in
      for client in Array((self?.clients ?? [:]).values) { client.closeNow() }
      self?.finishDrain()
    }
  }

  private func finishDrain() {
    onDrained?()
    onDrained = nil
  }

  /// What waits for its next request is closed, so that that request begins with a handshake.
  func closeIdleConnections() {
    for cluster in clusters.values { for endpoint in cluster.endpoints { endpoint.closeIdle() } }
  }

  /// A connection to an endpoint, under way.
  func connect(
    _ cluster: ClusterRuntime, _ endpoint: EndpointRuntime, _ name: MeshProtocol, owner: any ChannelOwner
  ) throws -> Channel {
    let address = endpoint.configuration.address
    let socket: FileDescriptor
    if let source = cluster.source, source.family == address.address.family {
      socket = try TCPSocket.connect(address, from: source, mark: configuration.transparentMark)
    } else {
      socket = try TCPSocket.connect(address, mark: configuration.mark)
    }
    guard endpoint.configuration.usesTLS, let context = cluster.contexts?.client(name),
      let tls = cluster.configuration.tls
    else {
      return try makeChannel(socket, owner: owner, tls: nil)
    }
    var authorize: (@Sendable (SPIFFEID) -> Bool)?
    if let identities = tls.identities { authorize = { identities.contains($0.description) } }
    let makeTLS: (Int32) throws -> TLSConnection = { descriptor in
      let connection = try TLSConnection(
        context, descriptor: descriptor, serverName: tls.serverName, resuming: endpoint.session,
        authorize: authorize)
      connection.newSession = { [weak endpoint] in endpoint?.session = $0 }
      return connection
    }
    return try makeChannel(socket, owner: owner, tls: makeTLS)
  }

  private func makeChannel(
    _ socket: consuming FileDescriptor, owner: any ChannelOwner,
    tls: ((Int32) throws -> TLSConnection)?
  ) throws -> Channel {
    let channel = try Channel(loop, flushQueue, socket, isConnecting: true, tls: tls)
    channel.owner = owner
    return channel
  }
}

extension Worker {
  /// After the loop has ended.
  func closeEverything() {
    for acceptor in listeners.values { acceptor.close() }
    listeners = [:]
    for client in Array(clients.values) { client.closeNow() }
    for cluster in clusters.values { cluster.retire() }
  }
}
