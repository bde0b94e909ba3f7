// One network namespace as netloom-node runs it: the speaker, the FIB, and the routes that the controller wants. Used by
// the agent of a lab and by the standalone speaker alike; neither protocol buffers of the controller connection nor
// files are known here.
//
//   KernelView ── transitions ──► Speaker.linkUp / linkDown
//       │    └── routes ─► underlay ──► RoutingTable.setUnderlay, FIB.setUnderlay
//       └─────────────── routes ──────► RouteReconciler ──► kernel
//   Speaker ── onFIB ──► drain ──► FIB ──► kernel
//
// Order when links change: the speaker drops what came over a lost link before anything is resolved anew, and connects
// over a regained one after everything was. One thread, one loop; no call here waits for anything but the kernel's
// answer to a few netlink requests.

internal import BGPCore
internal import BGPSpeaker
internal import BGPWire
internal import ControlProtocol
internal import EventLoop
internal import FIB
internal import NetTypes
internal import Netlink

final class Node {
  /// A line for the event stream.
  struct Event {
    var kind: String
    var subject: String
    var text: String
  }

  let loop: EventLoop
  let log: Log
  let namespace: Namespace?
  private let listeners: [Int32]
  /// nil: a standalone speaker that leaves the kernel alone.
  private(set) var view: KernelView?
  private(set) var speaker: Speaker?
  private(set) var fib: FIB?
  private(set) var reconciler = RouteReconciler()
  /// nil: a standalone speaker, which leaves everything but routes alone.
  private(set) var dataPlane: DataPlane?
  /// Why there is none.
  private(set) var noDataPlane = "this speaker leaves the kernel alone"
  /// What differs between desired and observed; watched once there is a data plane.
  private(set) lazy var driftWatch = DriftWatch(self)
  /// Grows with every event of the kernel.
  private(set) var kernelActivity: UInt64 = 0
  private(set) var isDraining = false
  private var refusedRoutes: Set<String> = []
  /// The FIB is about to put routes back where others' were read.
  private var mustReadAgain = false
  /// Where flow rules redirect to, and what of them is not obeyed.
  var flowRedirects = FlowRedirects()

  var onEvent: (Event) -> Void = { _ in }
  /// The node may look different in a sample: `true` when a link or session did, so that it is worth telling at once.
  var onChange: (Bool) -> Void = { _ in }

  /// What differs is another than when it was told last.
  var onDrift: (NLDriftReport) -> Void = { _ in }

  /// - Parameters:
  ///   - namespace: nil: the process stands in it. Tests pass one.
  ///   - kernel: false: no netlink at all.
  ///   - setUp: see `Agent.init`.
  ///   - dataPlane: the base table stands from now on, and the node's data plane is this process's.
  init(
    loop: EventLoop, log: Log, namespace: Namespace? = nil, listeners: [Int32] = [], kernel: Bool = true,
    dataPlane wantsDataPlane: Bool = false, setUp: SetUpRecord? = nil
  ) throws {
    self.loop = loop
    self.log = log
    self.namespace = namespace
    self.listeners = listeners
    guard kernel else { return }
    let view = try KernelView(in: namespace)
    view.watched = [.kernel, .boot, .static, .netloomIGP]  // until there is a speaker
    reconciler.ownsIGP = false
    self.view = view
    try loop.register(view.monitorDescriptor, .read) { [weak self] _ in self?.kernelChanged() }
    if wantsDataPlane { try startDataPlane(view, setUp) }
  }

  /// A kernel without nftables still routes; what it cannot do is refused when it is asked for.
  private func startDataPlane(_ view: KernelView, _ setUp: SetUpRecord?) throws {
    do {
      let dataPlane = try DataPlane(view, in: namespace)
      try dataPlane.standUp()
      self.dataPlane = dataPlane
    } catch {
      noDataPlane = "nftables cannot be used here: \(error)"
      return report("error", "data-plane", noDataPlane)
    }
    guard let dataPlane else { return }
    try loop.register(dataPlane.monitorDescriptor, .read) { [weak self] _ in self?.tablesChanged() }
    driftWatch.start(setUp)
  }

  func report(_ kind: String, _ subject: String, _ text: String) {
    log.info(subject.isEmpty ? "\(kind): \(text)" : "\(kind) \(subject): \(text)")
    onEvent(Event(kind: kind, subject: subject, text: text))
  }
}

// MARK: - Desired state

extension Node {
  /// Makes the speaker what the message says; on a refusal it stays what it was.
  func apply(_ message: NLSpeakerConfig) throws(Refusal) {
    let configuration = try SpeakerConfiguration(message)
    let isNew = speaker == nil
    if !isNew, message.fib != (fib != nil) {
      throw Refusal("fib", "cannot be switched while the speaker runs")
    }
    let speaker = if let speaker { speaker } else { try start(fib: message.fib) }
    do throws(SpeakerError) {
      try speaker.apply(configuration)
    } catch {
      throw Refusal(error.offender, error.reason)
    }
    onChange(false)
  }

  /// Makes the speaker, the FIB beneath it where one is wanted, and tells it what the kernel looks like.
  private func start(fib wantsFIB: Bool) throws(Refusal) -> Speaker {
    var options = TableOptions()
    options.tracksFIB = wantsFIB
    options.assumesNextHopsReachable = view == nil
    var preserved: FamilySet = []
    if wantsFIB {
      do throws(KernelError) {
        preserved = try startFIB()
      } catch {
        throw Refusal("fib", error.description)
      }
    }
    let speaker = Speaker(loop: loop, listeners: listeners, preserved: preserved, options: options)
    speaker.onEvent = { [weak self] event in
      self?.report(event.kind.rawValue, event.session.isEmpty ? event.neighbor : event.session, event.text)
      self?.onChange(event.kind == .session)
    }
    if wantsFIB {
      speaker.onFIB = { [weak self] in self?.drain() }
      speaker.onRestartComplete = { [weak self] in self?.fib?.sweep() }
    }
    if dataPlane != nil { speaker.onFlowSpecs = { [weak self] in self?.flowSpecsChanged() } }
    self.speaker = speaker
    if let view {
      view.watched = nil
      reconciler.ownsIGP = true
      readRoutes()
      for link in view.links.values where !link.canCarry && !link.isLoopback { speaker.linkDown(link.name) }
    }
    return speaker
  }

  private func startFIB() throws(KernelError) -> FamilySet {
    let fib = try FIB(in: namespace)
    fib.onEvent = { [weak self] in self?.report("fib", $0.subject, $0.text) }
    try view?.ignore(fib.portID)
    let found = try fib.adopt()
    do {
      try loop.register(fib.completionDescriptor, .read) { [weak self] _ in self?.fibAdvanced() }
    } catch {
      throw KernelError(number: error.code, call: error.call)
    }
    self.fib = fib
    view?.claims = { [unowned fib] in fib.claims($0) }
    if !found.isEmpty { log.info("fib: routes of an earlier process stay until the neighbors have spoken") }
    return found.reduce(into: []) { $0.insert(FamilySet(Family($1))) }
  }

  /// Whether `apply` would take it, as far as that can be told without trying. Changes nothing.
  func check(_ message: NLSpeakerConfig) throws(Refusal) {
    _ = try SpeakerConfiguration(message)
    if speaker != nil, message.fib != (fib != nil) { throw Refusal("fib", "cannot be switched while the speaker runs") }
  }

  func check(_ message: NLRouteSet) throws(Refusal) {
    guard let view else { throw Refusal("routes", "this speaker leaves the kernel alone") }
    var trial = reconciler
    try trial.want(message, links: Array(view.links.values))
  }

  /// Makes the controller's routes stand in the kernel. A route the kernel refuses is a refusal of the whole, and what
  /// stood before is put back; one whose link is down waits for it.
  func apply(_ message: NLRouteSet) throws(Refusal) {
    guard let view else { throw Refusal("routes", "this speaker leaves the kernel alone") }
    // The controller may have heard of a lost link before we read of it: first what the kernel flushed with it.
    kernelChanged()
    let before = reconciler
    try reconciler.want(message, links: Array(view.links.values))
    let refused: (Route, KernelError)?
    do throws(KernelError) {
      try view.readRoutes()
      let result = try reconciler.reconcile(view)
      kernelActivity += UInt64(result.requests)
      refused = result.refusals.first
    } catch {
      throw Refusal("routes", error.description)
    }
    if refused != nil { reconciler = before }
    readRoutes()
    driftWatch.look()
    onChange(false)
    if let (route, error) = refused { throw Refusal("route \(route.destination)", error.description) }
  }
}

// MARK: - The kernel's side

extension Node {
  func kernelChanged() {
    guard let view else { return }
    do throws(KernelError) {
      let changes = try view.readEvents()
      kernelActivity += UInt64(changes.events)
      apply(changes)
      if changes.missedSome {
        report("link", "", "the kernel had more to say than the buffer holds; all was read again")
      }
    } catch {
      report("error", "", error.description)
    }
  }

  private func apply(_ changes: KernelView.Changes) {
    for (link, canCarry) in changes.transitions where !link.isLoopback {
      report("link", link.name, canCarry ? "up" : link.isUp ? "carrier lost" : "down")
      guard !canCarry else { continue }
      fib?.linkLost(link.index)
      speaker?.linkDown(link.name)
    }
    // First, so that what is read next does not hold what gives way.
    if !changes.strangeRoutes.isEmpty, let fib {
      fib.routesLost(changes.strangeRoutes)
      mustReadAgain = !fib.isIdle
    }
    if changes.mustReadRoutes { readRoutes() }
    if !changes.lostRoutes.isEmpty { fib?.routesLost(changes.lostRoutes.map(\.destination)) }
    for nexthop in changes.lostNexthops { fib?.nexthopLost(nexthop) }
    if !changes.transitions.isEmpty || changes.missedSome { fib?.verify() }
    if changes.missedSome { fib?.verifyRoutes() }
    if !changes.transitions.isEmpty || changes.missedSome { linksChanged() }
    if changes.mayHaveDrifted || changes.mustReadRoutes { driftWatch.look() }
    for (link, canCarry) in changes.transitions where canCarry && !link.isLoopback { speaker?.linkUp(link.name) }
    if changes.events > 0 { onChange(!changes.transitions.isEmpty) }
  }

  /// Reads the routes, repairs ours, and resolves next hops anew.
  func readRoutes() {
    guard let view else { return }
    do throws(KernelError) {
      try view.readRoutes()
      let result = try reconciler.reconcile(view)
      if result.requests > 0 {
        kernelActivity += UInt64(result.requests)
        try view.readRoutes()
      }
      note(result.refusals)
    } catch {
      report("error", "", error.description)
    }
    resolve(view)
  }

  /// A refusal is told once, not each time the route is tried again.
  private func note(_ refusals: [(Route, KernelError)]) {
    let told = refusedRoutes
    refusedRoutes = []
    for (route, error) in refusals {
      let text = error.description
      refusedRoutes.insert("\(route.destination) \(text)")
      if !told.contains("\(route.destination) \(text)") { report("route", route.destination.description, text) }
    }
  }

  private func resolve(_ view: KernelView) {
    guard let speaker else { return }
    var underlay = Underlay()
    var reachable: [UnderlayRoute] = []
    for (prefix, entry) in view.usableRoutes() {
      underlay.set(prefix, entry.paths)
      guard entry.route.kind == .unicast else { continue }
      reachable.append(
        UnderlayRoute(
          prefix: prefix, cost: reconciler.igpCosts[prefix] ?? 0,
          onLink: entry.paths.contains { $0.gateway == nil }))
    }
    let own = view.ownAddresses
    reachable.sort { $0.prefix < $1.prefix }
    speaker.update { $0.setUnderlay(reachable, ownAddresses: own) }
    fib?.setUnderlay(underlay)
    redirectsMayHaveMoved()
  }
}

// MARK: - From Loc-RIB to the kernel

extension Node {
  /// Requests on their way to the kernel beyond which the table keeps its changes: they may yet cancel out.
  private static let backlogLimit = 100_000
  private static let slice = 4096

  /// Hands over what changed, a slice at a time so that sockets are served in between.
  private func drain() {
    guard let speaker, let fib else { return }
    guard fib.backlog < Self.backlogLimit else {
      isDraining = true
      return
    }
    let more = speaker.update { table in
      var changes: [FIBChange] = []
      let more = table.drainFIB(limit: Self.slice) { changes.append($0) }
      for change in changes {
        fib.set(change.prefix, to: change.nextHops.rawValue) { table.nextHops(of: NextHopSet(rawValue: $0)) }
      }
      fib.commit(version: more ? nil : table.version)
      return more
    }
    isDraining = more
    if more { loop.enqueue { [weak self] in self?.drain() } }
    onChange(false)
  }

  private func fibAdvanced() {
    fib?.collect()
    if mustReadAgain, fib?.isIdle == true {
      mustReadAgain = false
      readRoutes()
      driftWatch.look()
    }
    if fib?.backlog == 0 { redirectsMayHaveMoved() }
    if isDraining { drain() }
    onChange(false)
  }

  /// Ends the sessions with Cease, takes the routes out of the kernel, then calls `done`.
  func stop(reason: String, done: @escaping () -> Void) {
    guard let speaker else { return done() }
    speaker.stop(reason: reason) { [weak self] in
      self?.fib?.withdrawAll()
      done()
    }
  }
}
