// The agent of one node of a lab: takes desired state from the controller, makes it so, and says what is.
//
//   controller ── Desired ──────► Agent ──► Node.apply ──► Ack (applied) or NACK (why, and what was refused)
//              ── SampleRequest ► Agent ──► Node.sample ──► Sample
//              ── Query ────────► Agent ──► Node.answer ──► QueryReply
//              ◄─ Sample, Event ─ Agent ◄── Node.onChange, Node.onEvent
//
//              ── Change ───────► Agent ──► DesiredState ──► ChangeReply
//              ◄─ DriftReport ─── Agent ◄── DriftWatch
//
// Routes, speaker and data plane come in any order and are applied as they come. When the controller is away the node goes on as it
// is; events wait, bounded. After a controller's crash Hello says which versions are applied already.
//
// A sample is pushed when the node became idle or a link or session changed: a hint that spares the controller's asking
// round. What counts for convergence are the waves that it asks for.

internal import BGPSpeaker
internal import CLinux
public import ControlProtocol
public import EventLoop
import Glibc
public import Netlink

public final class Agent {
  private let loop: EventLoop
  private let name: String
  private let log: Log
  private let node: Node
  private let connection: ControllerConnection
  private let incarnation: UInt64
  private var desired = DesiredState()
  private var events = EventQueue()
  /// A change that the controller has not been told of.
  private var mustTell = false
  private var mustTellNow = false
  private lazy var teller = LoopTimer(loop) { [weak self] in self?.tell() }
  private var tellDelay: UInt64 = 0
  private lazy var health = HealthProbe(loop) { [weak self] in self?.changed(atOnce: true) }

  /// Bytes waiting for the controller above which events wait in the bounded queue instead.
  private static let congestion = 1 << 20

  /// - Parameters:
  ///   - controllerSocket: path of the controller's socket; it need not exist yet.
  ///   - name: of the node.
  ///   - listeners: open listening sockets for the speaker.
  ///   - namespace: nil: the process stands in the node's namespace. Tests pass one.
  ///   - runDirectory: of the lab: says when the node's set-up is over. nil: it is over.
  public init(
    loop: EventLoop, controllerSocket: String, name: String, listeners: [Int32] = [], log: Log = Log(),
    namespace: Namespace? = nil, runDirectory: RunDirectory? = nil
  ) throws {
    self.loop = loop
    self.name = name
    self.log = log
    node = try Node(
      loop: loop, log: log, namespace: namespace, listeners: listeners, dataPlane: true,
      setUp: runDirectory.map { SetUpRecord($0, node: name) })
    connection = ControllerConnection(loop, path: controllerSocket, log: log)
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    incarnation = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    node.onEvent = { [weak self] in self?.send($0) }
    node.onChange = { [weak self] in self?.changed(atOnce: $0) }
    node.onDrift = { [weak self] in self?.push($0) }
    connection.hello = { [weak self] in self?.hello() ?? NLHello() }
    connection.onConnect = { [weak self] in self?.connected() }
    connection.onMessage = { [weak self] in self?.take($0) }
  }

  /// Connects, now or as soon as there is a controller.
  public func start() { connection.connect() }

  /// The node's `exec` lines may have ended: the run directory says whether they have.
  public func setUpMayBeOver() { node.driftWatch.setUpMayBeOver() }

  /// Ends the sessions with Cease and calls `done` when that is written.
  public func stop(done: @escaping () -> Void) { node.stop(reason: "", done: done) }

  private func hello() -> NLHello {
    var hello = NLHello()
    hello.role = .node
    hello.name = name
    hello.pid = getpid()
    hello.incarnation = incarnation
    hello.applied = desired.versions
    hello.software = "netloom-node"
    return hello
  }

  /// Changes belong to a connection: a controller that has to connect anew may be another one.
  private func connected() {
    desired.endChange()
    for event in events.takeAll() { push(event) }
    let drift = node.driftWatch.last
    if drift != NLDriftReport() { push(drift) }
    changed(atOnce: true)
  }
}

// MARK: - What the controller says

extension Agent {
  private func take(_ envelope: NLFromController) {
    switch envelope.body {
    case .desired(let desired): apply(desired, envelope.request)
    case .sampleRequest(let request): reply(envelope.request) { $0.sample = sample(wave: request.wave) }
    case .query(let query): reply(envelope.request) { $0.queryReply = node.answer(query) }
    case .speakerCommand(let command): run(command, envelope.request)
    case .change(let change): take(change, envelope.request)
    case .repair: reply(envelope.request) { $0.drift = node.repair() }
    case .welcome, .machineCommand, .traceRequest, .rateRequest, .trafficRequest, .stopTraffic, .flowsRequest, nil:
      break
    }
  }

  private func apply(_ message: NLDesired, _ request: UInt64) {
    var ack = NLAck()
    ack.version = message.version
    ack.type = message.type
    do throws(Refusal) {
      try desired.apply(message, to: node)
    } catch {
      ack.error = error.reason
      ack.offender = error.offender
      node.report("error", error.offender, "\(ack.type) version \(message.version) refused: \(error.reason)")
    }
    askHealth()
    reply(request) { $0.ack = ack }
  }

  /// As the data plane that stands says.
  private func askHealth() {
    let plane = desired.applied["data-plane"]?.dataPlane
    health.apply(plane.flatMap { $0.hasHealth ? $0.health : nil })
  }

  private func take(_ change: NLChange, _ request: UInt64) {
    var answer = NLChangeReply()
    (answer.id, answer.step) = (change.id, change.step)
    do throws(Refusal) {
      try desired.take(change, node)
    } catch {
      (answer.error, answer.offender, answer.place) = (error.reason, error.offender, error.place)
      node.report("error", error.offender, "change \(change.id), \(change.step): \(error.reason)")
    }
    askHealth()
    answer.applied = desired.versions
    reply(request) { $0.changeReply = answer }
  }

  private func run(_ command: NLSpeakerCommand, _ request: UInt64) {
    var ack = NLAck()
    ack.type = "command"
    switch command.command {
    case .reset(let reset):
      ack.offender = "neighbor \(reset.neighbor)"
      if node.speaker?.reset(neighbor: reset.neighbor) != true { ack.error = "no such neighbor" }
    case .refresh(let refresh):
      ack.offender = "neighbor \(refresh.neighbor)"
      if node.speaker?.refresh(neighbor: refresh.neighbor) != true {
        ack.error = "no such neighbor, or no session that can refresh its routes"
      }
    case nil: ack.error = "unknown command"
    }
    if ack.error.isEmpty { ack.offender = "" }
    reply(request) { $0.ack = ack }
  }

  private func reply(_ request: UInt64, _ fill: (inout NLToController) -> Void) {
    var envelope = NLToController()
    envelope.request = request
    fill(&envelope)
    connection.send(envelope)
  }
}

// MARK: - What the node says

extension Agent {
  private func sample(wave: UInt64) -> NLSample {
    var sample = node.sample()
    sample.wave = wave
    sample.applied = desired.versions
    sample.failed = desired.failed
    sample.health = health.verdict
    return sample
  }

  private func send(_ event: Node.Event) {
    let message = EventQueue.message(event)
    if connection.isConnected, connection.queued < Self.congestion { push(message) } else { events.append(message) }
  }

  private func push(_ event: NLEvent) {
    var envelope = NLToController()
    envelope.event = event
    connection.send(envelope)
  }

  private func push(_ drift: NLDriftReport) {
    var envelope = NLToController()
    envelope.drift = drift
    connection.send(envelope)
  }

  /// Remembers to tell, soon: changes come in bursts. Told once it is idle, or at once what people wait for.
  private func changed(atOnce: Bool) {
    mustTell = true
    mustTellNow = mustTellNow || atOnce
    guard !teller.isArmed else { return }
    tellDelay = EventLoop.milliseconds(1)
    teller.arm(after: tellDelay)
  }

  private func tell() {
    guard connection.isConnected else { return }
    for event in events.takeAll() { push(event) }
    let sample = sample(wave: 0)
    guard mustTell, sample.idle || mustTellNow else { return tellLater() }
    var envelope = NLToController()
    envelope.sample = sample
    connection.send(envelope)
    mustTellNow = false
    mustTell = !sample.idle
    if mustTell { tellLater() }
  }

  private func tellLater() {
    tellDelay = min(tellDelay * 2, EventLoop.milliseconds(20))
    teller.arm(after: tellDelay)
  }
}
