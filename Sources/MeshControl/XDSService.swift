internal import EventLoop
internal import Glibc
internal import Mesh
internal import TLS

/// The server's state. Belongs to the server's thread.
final class XDSService {
  private enum Limit {
    static let connections = 4096
    /// Connections taken per event of a listener, so that a storm of them leaves the others their turn.
    static let acceptances = 64
    /// Certificates are looked at least this often, seconds, lest a step of the clock puts a renewal off.
    static let renewalCheck: Int64 = 3600
  }

  /// Someone who waits for a change to be everywhere.
  private struct Waiter {
    let started: UInt64
    /// Whose clients must be there.
    let pods: Set<String>
    let reply: XDSLetter.Reply
  }

  let loop: EventLoop
  private let admit: (XDSPeer) -> XDSAdmission
  private var catalog: ResourceCatalog
  private var issuer: CertificateIssuer?
  private var listeners: [Int32: OwnedDescriptor] = [:]
  private var connections: [UInt64: XDSConnection] = [:]
  private var streams: [UInt64: DiscoveryStream] = [:]
  /// Streams that do not yet hold all that they should.
  private var pending: Set<UInt64> = []
  private var waiters: [UInt64: Waiter] = [:]
  private let observe: XDSServer.Observer
  private var conditions = ClientConditions()
  private var numbers: UInt64 = 0
  private lazy var renewal = LoopTimer(loop) { [weak self] in self?.renewCertificates() }

  init(
    _ loop: EventLoop, _ model: MeshModel, _ certificates: CertificatePolicy?,
    _ admit: @escaping (XDSPeer) -> XDSAdmission, _ observe: @escaping XDSServer.Observer
  ) {
    self.observe = observe
    self.loop = loop
    self.admit = admit
    catalog = ResourceCatalog(model)
    issuer = certificates.map { CertificateIssuer($0.authority, lifetime: $0.lifetime) }
  }

  func nextNumber() -> UInt64 {
    numbers += 1
    return numbers
  }

  // MARK: Letters

  func handle(_ letter: XDSLetter) {
    switch letter {
    case .listen(let socket, let name): listen(socket, name)
    case .apply(let model, let timeout, let reply): apply(model, timeout, reply)
    case .split(let service, let weights, let timeout, let reply):
      do throws(MeshControlError) {
        apply(try catalog.model.splitting(service, weights), timeout, reply)
      } catch {
        reply(.failure(error))
      }
    case .settle(let timeout, let reply): wait(timeout, reply)
    case .ready(let pods, let timeout, let reply): wait(for: pods, timeout, reply)
    case .status(let reply): reply(status)
    case .stop: stop()
    }
  }

  private func apply(_ model: MeshModel, _ timeout: UInt64, _ reply: @escaping XDSLetter.Reply) {
    if model != catalog.model { catalog.update(model) }
    for stream in streams.values {
      if let pod = stream.pod, sidecar(ofPod: pod) == nil {
        stream.end(StreamRefusal(code: .permissionDenied, message: "pod \(pod) is no longer in the mesh"))
      } else {
        updateSecrets(stream)
      }
    }
    updateAll()
    wait(timeout, reply)
  }

  private func stop() {
    for (number, waiter) in waiters {
      waiters[number] = nil
      waiter.reply(.failure(MeshControlError.stopped))
    }
    for connection in Array(connections.values) { connection.close() }
    for listener in listeners.keys { loop.unregister(listener) }
    listeners = [:]
    loop.stop()
  }

  // MARK: Connections

  private func listen(_ socket: OwnedDescriptor, _ name: String) {
    let raw = socket.rawValue
    do throws(SystemError) {
      try loop.register(raw, .read) { [weak self] _ in self?.accept(raw, name) }
      listeners[raw] = socket
    } catch {
      // Only when the kernel has no memory for it: then nobody can connect, and the socket closes.
    }
  }

  private func accept(_ listener: Int32, _ name: String) {
    for _ in 0..<Limit.acceptances {
      do throws(SystemError) {
        guard let socket = try UnixSocket.accept(listener) else { return }
        if connections.count >= Limit.connections { continue }  // it closes: the client comes back later
        let admission = admit(XDSPeer(listener: name, connection: socket.rawValue))
        let number = nextNumber()
        connections[number] = try XDSConnection(socket, number, admission, self)
      } catch {
        return loop.rest(listener)
      }
    }
  }

  func closed(_ connection: XDSConnection) { connections[connection.number] = nil }

  /// The kind of a pod's sidecar; nil for a pod that is not in the mesh.
  func sidecar(ofPod name: String) -> SidecarKind? { catalog.pod(name)?.sidecar }

  // MARK: Streams

  /// A request has been taken: what follows from it goes out.
  func heard(_ stream: DiscoveryStream) {
    if streams[stream.number] == nil {
      streams[stream.number] = stream
      updateSecrets(stream)
    }
    if let generation = stream.aggregated.claimedGeneration { catalog.count(from: generation) }
    update(stream)
    answerWaiters()
  }

  func left(_ stream: DiscoveryStream) {
    streams[stream.number] = nil
    pending.remove(stream.number)
    note(nil, of: stream)
    answerWaiters()
  }

  /// Tells who observes, before anybody is told who waits.
  private func note(_ condition: ClientCondition?, of stream: DiscoveryStream) {
    guard let pod = stream.pod, conditions.note(condition, stream: stream.number, pod: pod) else { return }
    observe(conditions.byPod)
  }

  /// The caller flushes the connection.
  private func update(_ stream: DiscoveryStream) {
    guard let pod = stream.pod, let snapshot = catalog.snapshot(ofPod: pod, stream.dialect) else { return }
    stream.update(snapshot)
    if streams[stream.number] == nil || stream.aggregated.isCurrent(snapshot) {
      pending.remove(stream.number)
    } else {
      pending.insert(stream.number)
    }
    if streams[stream.number] != nil {
      note(ClientCondition(stream.aggregated, stream.dialect, isPending: pending.contains(stream.number)), of: stream)
    }
  }

  private func updateAll() {
    for stream in streams.values { update(stream) }
    for connection in connections.values { connection.flush() }
  }

  // MARK: Waiting

  private func wait(for pods: Set<String> = [], _ timeout: UInt64, _ reply: @escaping XDSLetter.Reply) {
    let number = nextNumber()
    waiters[number] = Waiter(started: EventLoop.clock(), pods: pods, reply: reply)
    answerWaiters()
    if waiters[number] != nil {
      loop.after(timeout) { [weak self] in self?.answer(number) }
    }
  }

  private func answerWaiters() {
    guard !waiters.isEmpty else { return }
    // A client that starts, or hangs, is no reason to keep another pod's programs waiting.
    let ready = waiters.values.contains { !$0.pods.isEmpty } ? readyPods : []
    for (number, waiter) in waiters {
      if waiter.pods.isEmpty ? pending.isEmpty : waiter.pods.isSubset(of: ready) { answer(number) }
    }
  }

  /// Pods whose client holds everything and has acknowledged its listeners: the last thing that it asks for when it
  /// starts, but for routes.
  private var readyPods: Set<String> {
    Set(
      streams.values.compactMap { stream in
        let hasListeners = stream.aggregated.subscriptions[.listener].map { !$0.acknowledgedVersion.isEmpty } ?? false
        return hasListeners && !pending.contains(stream.number) ? stream.pod : nil
      })
  }

  private func answer(_ number: UInt64) {
    guard let waiter = waiters.removeValue(forKey: number) else { return }
    var outcome = ChangeOutcome(
      generation: catalog.generation, current: 0, refused: [], lagging: [], absent: [],
      duration: EventLoop.clock() - waiter.started)
    var present: Set<String> = []
    for stream in streams.values {
      guard let pod = stream.pod else { continue }
      present.insert(pod)
      let refusals = stream.aggregated.refusals
      outcome.refused += refusals.map { ChangeOutcome.Refusal(pod: pod, type: $0.0, reason: $0.1) }
      if pending.contains(stream.number) {
        outcome.lagging.append(pod)
      } else if refusals.isEmpty {
        outcome.current += 1
      }
    }
    outcome.lagging.sort()
    outcome.refused.sort { ($0.pod, $0.type) < ($1.pod, $1.type) }
    let expected = waiter.pods.union(catalog.model.pods.filter { $0.sidecar != .none }.map(\.name))
    outcome.absent = expected.subtracting(present).sorted()
    waiter.reply(.success(outcome))
  }

  // MARK: Status

  private var status: [ClientStatus] {
    streams.values.compactMap { stream in
      guard let pod = stream.pod else { return nil }
      let types = stream.aggregated.subscriptions.sorted { $0.key < $1.key }.map { type, subscription in
        ClientStatus.TypeStatus(
          type: type, sent: subscription.sentVersion, acknowledged: subscription.acknowledgedVersion,
          sentAt: subscription.sentAt, acknowledgedAt: subscription.acknowledgedAt, refusal: subscription.refusal,
          refusals: subscription.refusals, resources: subscription.held.count)
      }
      let state: ClientStatus.State =
        pending.contains(stream.number) ? .pending : types.contains { $0.refusal != nil } ? .refused : .current
      return ClientStatus(pod: pod, agent: stream.agent, state: state, types: types)
    }.sorted { ($0.pod, $0.agent) < ($1.pod, $1.agent) }
  }

  // MARK: Certificates

  private func updateSecrets(_ stream: DiscoveryStream) {
    guard let name = stream.pod, stream.dialect == .sidecar, let pod = catalog.pod(name) else { return }
    // A name that fits no identity gets no certificate; its sidecar then shows no listener either, which `mesh status`
    // says.
    guard let secrets = try? issuer?.secrets(for: pod, now: WallClock.seconds) else { return }
    catalog.update(secrets: secrets, ofPod: name)
    armRenewal()
  }

  private func armRenewal() {
    guard let next = issuer?.nextRenewal else { return }
    let delay = min(max(next - WallClock.seconds, 1), Limit.renewalCheck)
    renewal.arm(after: UInt64(delay) * 1_000_000_000)
  }

  private func renewCertificates() {
    issuer?.keep(only: Set(streams.values.compactMap(\.pod)))
    for stream in streams.values { updateSecrets(stream) }
    updateAll()
    armRenewal()
  }
}
