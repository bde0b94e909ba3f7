// When to ask for samples, and when the answers are a proof (DESIGN decision 2, ARCHITECTURE "Converged").
//
// A wave asks every agent for a sample; each is taken atomically between two events of its loop. The lab is converged
// when a whole wave satisfies the judge and a second wave, begun after the first ended, satisfies it too and shows the
// same activity numbers: then nothing was under way between them, neither in a node nor on a wire.
//
// Agents push a sample when they become idle or a session changes. Such pushes are hints: a wave begins as soon as the
// newest samples of all nodes could be a proof, so that `up` is told at once and a lab that is still coming up costs
// no waves. A slow timer begins one anyway, in case a hint was lost with a connection.
//
// With real daemons, which report nothing, the two waves are at least `quietTime` apart.
//
// A pure value: time and samples are arguments, what to do is returned. LabController drives it.

internal import ControlProtocol
internal import NorthboundAPI

struct ConvergenceTracker: Sendable {
  typealias Instant = ContinuousClock.Instant

  enum Action: Equatable, Sendable {
    /// Send a SampleRequest with this number to every node.
    case beginWave(UInt64)
    /// Call `evaluate` again at this time.
    case wake(Instant)
    case converged
  }

  /// DESIGN decision 2: real daemons are done when nothing happened for one second.
  static let quietTime = Duration.seconds(1)
  /// A node that has not answered by then is hung or gone.
  static let waveLimit = Duration.seconds(5)
  static let firstRetry = Duration.milliseconds(250)
  static let lastRetry = Duration.seconds(2)

  private(set) var converged = false
  /// How often it has been proven.
  private(set) var proofs: UInt64 = 0
  private(set) var convergedBy: ConvergedBy?
  private(set) var convergedAfter: Duration?
  /// When the last disturbance began, or the controller.
  private(set) var disturbedAt: Instant
  /// Nodes that did not answer the last wave in time.
  private(set) var silentNodes: [String] = []
  /// Nodes whose activity moved between the last two whole waves: still changing, whatever the reason.
  private(set) var movedNodes: [String] = []

  /// The samples of the last wave, if it was no proof: only there can counters be compared.
  private(set) var failedWave: [String: NodeView]?

  private var wave: Wave?
  private var lastWave: UInt64 = 0
  /// The last wave that satisfied the judge, if nothing moved since.
  private var candidate: (endedAt: Instant, activity: [String: UInt64])?
  private var proven: [String: (activity: UInt64, ribVersion: UInt64)] = [:]
  private var lastActivity: [String: UInt64] = [:]
  private var hinted = false
  private var retry = ConvergenceTracker.firstRetry
  private var retryAt: Instant?

  private struct Wave: Sendable {
    var number: UInt64
    var endsAt: Instant
    var outstanding: Set<String>
    var nodes: [String: NodeView]
  }

  init(now: Instant) {
    disturbedAt = now
  }

  /// Something changed that needs a new proof. A fault starts the clock of `convergedAfter` anew; what follows from it
  /// (a link event, a session change, a new desired version) only does so in a converged lab.
  mutating func disturb(now: Instant, fault: Bool = false) {
    if converged || fault {
      disturbedAt = now
      convergedAfter = nil
      retry = Self.firstRetry
    }
    reopen()
  }

  private mutating func reopen() {
    converged = false
    convergedBy = nil
    proven = [:]
    candidate = nil
    // A wave under way may hold samples from before the disturbance.
    wave = nil
    failedWave = nil
    hinted = true
  }

  /// Something may have come right: worth a look even before the timer.
  mutating func hint() { hinted = true }

  /// A pushed sample. Answers whether it ended a converged state.
  ///
  /// Activity that changed no route (the kernel announces an IPv6 router, say) is proven again like any other, but does
  /// not change when the lab had converged.
  mutating func pushed(_ sample: NLSample, from node: String, now: Instant) -> Bool {
    hinted = true
    guard converged else {
      if let known = candidate?.activity[node], known != sample.activity { candidate = nil }
      return false
    }
    guard let known = proven[node], known.activity == sample.activity, sample.idle else {
      if sample.idle, proven[node]?.ribVersion == sample.ribVersion { reopen() } else { disturb(now: now) }
      return true
    }
    return false
  }

  /// Begins a wave if there is reason to. `nodes` holds the newest samples, of whatever time; `plausible` says that
  /// each of them alone could be part of a proof.
  mutating func evaluate(
    _ nodes: @autoclosure () -> [String: NodeView], plausible: Bool, judge: ConvergenceJudge, hasDaemons: Bool,
    now: Instant
  ) -> [Action] {
    guard !converged else { return [] }
    if let current = wave {
      guard now >= current.endsAt else { return [.wake(current.endsAt)] }
      silentNodes = current.outstanding.sorted()
      wave = nil
      return [scheduleRetry(now: now)]
    }
    if let candidate, hasDaemons {
      let due = candidate.endedAt + Self.quietTime
      guard now >= due else { return [.wake(due)] }
      return begin(nodes(), judge: judge, hasDaemons: hasDaemons, now: now)
    }
    let timerDue = retryAt.map { now >= $0 } ?? false
    if timerDue || (hinted && plausible) {
      return begin(nodes(), judge: judge, hasDaemons: hasDaemons, now: now)
    }
    return [scheduleRetry(now: now)]
  }

  /// A sample of the current wave; the rest are ignored. `nodes` gives what is known beside the sample.
  mutating func answered(
    _ sample: NLSample, from node: String, judge: ConvergenceJudge, hasDaemons: Bool, now: Instant
  ) -> [Action] {
    // In place: the wave of a large lab is not copied for every answer.
    guard wave?.number == sample.wave, wave?.outstanding.remove(node) != nil else { return [] }
    wave?.nodes[node]?.sample = sample
    guard let whole = wave, whole.outstanding.isEmpty else { return [] }
    return finish(whole, judge: judge, hasDaemons: hasDaemons, now: now)
  }

  private mutating func begin(
    _ nodes: [String: NodeView], judge: ConvergenceJudge, hasDaemons: Bool, now: Instant
  ) -> [Action] {
    lastWave += 1
    hinted = false
    let asked = Set(nodes.filter(\.value.connected).keys)
    let new = Wave(number: lastWave, endsAt: now + Self.waveLimit, outstanding: asked, nodes: nodes)
    wave = new
    guard !asked.isEmpty else { return finish(new, judge: judge, hasDaemons: hasDaemons, now: now) }
    return [.beginWave(lastWave), .wake(new.endsAt)]
  }

  private mutating func finish(
    _ done: Wave, judge: ConvergenceJudge, hasDaemons: Bool, now: Instant
  ) -> [Action] {
    wave = nil
    retryAt = nil
    silentNodes = []
    let activity = done.nodes.compactMapValues { $0.sample?.activity }
    let before = candidate
    candidate = nil
    guard judge.holds(done.nodes) else {
      noteMoved(activity)
      failedWave = done.nodes
      return [scheduleRetry(now: now)]
    }
    guard let before, before.activity == activity else {
      if let before { movedNodes = activity.filter { before.activity[$0.key] != $0.value }.keys.sorted() }
      candidate = (now, activity)
      lastActivity = activity
      if hasDaemons { return [.wake(now + Self.quietTime)] }
      return begin(done.nodes, judge: judge, hasDaemons: hasDaemons, now: now)
    }
    converged = true
    proofs += 1
    failedWave = nil
    proven = done.nodes.compactMapValues { view in view.sample.map { ($0.activity, $0.ribVersion) } }
    movedNodes = []
    convergedBy = hasDaemons ? .quiet : .counters
    if convergedAfter == nil { convergedAfter = now - disturbedAt }
    retry = Self.firstRetry
    return [.converged]
  }

  private mutating func noteMoved(_ activity: [String: UInt64]) {
    movedNodes = activity.filter { lastActivity[$0.key] != nil && lastActivity[$0.key] != $0.value }.keys.sorted()
    lastActivity = activity
  }

  /// A later look even if no hint comes; ever slower while nothing changes.
  private mutating func scheduleRetry(now: Instant) -> Action {
    if let retryAt, retryAt > now { return .wake(retryAt) }
    let at = now + retry
    retry = min(retry * 2, Self.lastRetry)
    retryAt = at
    return .wake(at)
  }
}
