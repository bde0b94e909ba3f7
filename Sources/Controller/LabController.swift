// The brain of one lab: what the lab should be (topology), what it is (samples, events), and what to tell whom.
//
//   netloom-machine ──MachineState──►            ┌── Desired, Change, SampleRequest, Query ──► netloom-node × n
//   netloom-node ──Hello, Ack, Sample, Event──►  │   MachineCommand ──► netloom-machine
//   netloom-probe ──TraceReply──►  LabController ┴── TraceRequest, RateRequest ──► netloom-probe
//                                      ▲
//                                  Northbound (HTTP): status, converged, trace, faults, plan, apply, drift, …
//
// One actor owns all state and runs on one NIO event loop, the same that the connections live on: messages arrive in
// order, without a task or a hop, and nothing is shared. Only the API's requests wait (continuations in `pending`).
//
// Desired state is versioned per node and resource type. A version is sent once per connection and acknowledged or
// refused; links that go down or up change the routes of the AS, and only the nodes whose routes changed hear of it.
// When it converged is decided in ConvergenceTracker and ConvergenceJudge.
//
// What the lab should be has versions too, kept in VersionStore. A change goes from one to the next on all nodes or on
// none (LabController+Commit); while nodes prepare and commit, everything else that would alter desired state waits.
//
// It may crash at any time: nodes keep forwarding and keep their sessions. A new one reads the version that stands and
// `controller.state`, takes the nodes' applied versions from their Hello, waits until it has seen every link once and
// only then compares what it wants with what it last sent. What it wants has usually not changed, and nothing is sent.
//
// Deliberately absent: the kernel, BGP, and any poll of the nodes while the lab is converged.

public import ControlProtocol
internal import Foundation
internal import Intent
internal import MeshControl
public import Logging
public import NIOCore
internal import NIOPosix
internal import NetTypes
internal import NorthboundAPI
internal import SwiftProtobuf
internal import Topology

public actor LabController {
  typealias Instant = ContinuousClock.Instant

  let loop: any EventLoop
  let run: RunDirectory
  let logger: Logger
  var intent: LabIntent
  let plan: NLMachinePlan
  let book: AddressBook
  let incarnation: UInt64
  var lab: ResolvedLab { intent.lab }

  var connections: [Connection.ID: Connection] = [:]
  var roles: [Connection.ID: Role] = [:]
  var agents: [String: Agent] = [:]
  var machine = MachineRecord()
  var probe: Connection.ID?
  var nextRequest: UInt64 = 0
  var pending: [UInt64: PendingRequest] = [:]
  var nextCapture = 0
  var traffic = TrafficBook()
  /// nil: the topology has no `mesh`.
  var mesh: MeshPlane?
  var edges = EdgeLedger()
  /// Nodes whose image is being changed, and those of them that get no requests meanwhile.
  var imageChanges: Set<String> = []
  var draining: Set<String> = []
  /// Routers are being asked how far everything is.
  var measuringPaths = false
  /// Where each connected sidecar stands.
  var fleet: [String: ClientCondition] = [:]
  /// By pod of a service.
  var dampers: [String: FlapDamper] = [:]
  /// When health is looked at although nothing is observed.
  var healthWake: Instant?

  var state: ControllerState
  var stateSaveScheduled = false
  /// Waiting until every link was seen once; see the essay.
  var adopting: Bool
  var outage: Outage
  /// Links that go up and down by themselves, by index.
  var flaps: [Int: Task<Void, Never>] = [:]
  /// How often something happened that may have changed the lab: who looks at it in parts compares before and after.
  var disturbances: UInt64 = 0
  /// Link ends seen down, "up" ones are absent: node -> interfaces.
  var downEnds: [String: Set<String>] = [:]
  var desired: [String: DesiredNode] = [:]
  var warnings: [String] = []

  let limits: StepLimits
  let store: VersionStore
  /// The version that stands.
  var current: StoredVersion
  /// What an earlier controller left undone; told once.
  let interrupted: StoredVersion?
  /// One at a time.
  var change: ChangeUnderWay?
  /// Nodes prepare or commit: desired state is what it was, whatever is seen meanwhile.
  var isHeld = false
  var confirmation: Scheduled<Void>?
  var counters = ChangeCounters()

  var judge = ConvergenceJudge()
  var tracker: ConvergenceTracker
  /// How often it converged, and the last time's answer for those who waited.
  var proofs = 0
  var lastProof: Convergence?
  /// The disturbance after which convergence was last told as an event.
  var announced: Instant?
  /// The tracker's proof that was told last.
  var announcedProof: UInt64 = 0
  /// How long that took, the mesh included.
  var settledAfter: Duration?
  var hasDaemonSessions = false
  /// Agents whose newest sample alone is no part of a proof.
  var unready: Set<String> = []
  var wakeAt: (at: Instant, task: Scheduled<Void>)?
  var waiters: [UInt64: Waiter] = [:]
  var nextWaiter: UInt64 = 0
  var revision: UInt64 = 1
  var progressScheduled = false
  var events = EventLog()

  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor.asUnownedSerialExecutor() }

  /// The controller of the lab in `run`, on `loop`; reads `state.db` (or `topology.yaml`, the first time) and
  /// `controller.state`, opens no socket yet.
  public init(
    plan: NLMachinePlan, run: RunDirectory, loop: any EventLoop, logger: Logger, limits: StepLimits = StepLimits()
  ) throws {
    self.limits = limits
    self.loop = loop
    self.run = run
    self.logger = logger
    self.plan = plan
    let versioned = try VersionedLab(run: run, plan: plan)
    store = versioned.store
    current = versioned.current
    interrupted = versioned.interrupted
    intent = LabIntent(versioned.lab)
    book = AddressBook(plan)
    incarnation = UInt64.random(in: 1...UInt64.max)
    let loaded = ControllerState.load(run.controllerState)
    let state = loaded ?? ControllerState()
    self.state = state
    adopting = loaded != nil
    outage = Outage(links: state.faults.downLinks, nodes: state.faults.killedNodes)
    tracker = ConvergenceTracker(now: .now)
    let planned = Set(plan.nodes.filter(\.agent).map(\.name))
    for node in versioned.lab.nodes
    where node.hasAgent || planned.contains(node.name) || state.startedAgents.contains(node.name) {
      agents[node.name] = Agent()
    }
  }

  /// Listens on `controller.sock`; a socket left by a controller that crashed is replaced.
  public func start() async throws {
    try startMesh()
    computeDesired()
    if adopting {
      events.append(node: "", kind: "process", subject: "controller", text: "restarted, adopting what runs")
      schedule(in: .seconds(1)) { $0.endAdoption() }
    }
    if let interrupted {
      counters.refused += 1
      events.append(
        node: "", kind: "change", subject: "version \(interrupted.version)", text: interrupted.change)
    }
    awaitConfirmation()
    let path = run.controllerSocket
    try? FileManager.default.removeItem(atPath: path)
    let counter = NIOLoopBound(ConnectionCounter(), eventLoop: loop)
    let bootstrap = ServerBootstrap(group: loop).serverChannelOption(ChannelOptions.backlog, value: 1024)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let handler = ConnectionHandler(controller: self, id: counter.value.next())
          try channel.pipeline.syncOperations.addHandler(handler)
        }
      }
    _ = try await bootstrap.bind(unixDomainSocketPath: path).get()
  }

  private final class ConnectionCounter {
    private var last: Connection.ID = 0
    func next() -> Connection.ID {
      last += 1
      return last
    }
  }

  func schedule(in delay: TimeAmount, _ work: @escaping @Sendable (isolated LabController) -> Void) {
    loop.scheduleTask(in: delay) { self.assumeIsolated(work) }
  }
}

extension LabController {
  enum Role: Hashable, Sendable {
    case machine, probe
    case node(String)
  }

  /// One netloom-node as the controller knows it.
  struct Agent: Sendable {
    var connection: Connection.ID?
    var applied: [String: UInt64] = [:]
    /// Version sent on the present connection, per type.
    var sent: [String: UInt64] = [:]
    var refused: [String: String] = [:]
    /// The newest, pushed or asked for, of the present connection.
    var sample: NLSample?
    /// The newest that was pushed or asked for.
    var drift: NLDriftReport?
    /// Of a repair that the file asks for.
    var repair = Repair.idle
    /// One after the other.
    var failedRepairs = 0

    enum Repair: Equatable, Sendable {
      case idle, underWay
      /// What is left is beyond it, as long as it is the same.
      case done(leaving: [NLDriftItem])
    }

    var needsRepair: Bool {
      guard let items = drift?.items, !items.isEmpty else { return false }
      return repair == .idle || (repair != .underWay && repair != .done(leaving: items))
    }
  }

  struct MachineRecord: Sendable {
    var connection: Connection.ID?
    var state = NLMachineState()
    var nodes: [String: NLNodeState] = [:]
    var containers: [String: NLContainerState] = [:]
    /// Nodes that were seen running once: "stopped" says something about them.
    var ran: Set<String> = []
  }

  struct DesiredNode: Sendable {
    var speaker: NLSpeakerConfig?
    var routes: NLRouteSet
    var dataPlane: NLDataPlane
    /// By resource type.
    var digests: [String: UInt64]
  }

  struct Waiter {
    var what: Wait
    var continuation: CheckedContinuation<Void, Never>
    var timer: Scheduled<Void>
  }

  struct PendingRequest {
    var connection: Connection.ID
    var continuation: CheckedContinuation<NLToController.OneOf_Body, any Error>
    var timer: Scheduled<Void>
  }
}
