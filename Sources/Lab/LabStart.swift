// `up`: from a resolved topology to a converged lab.
//
//   preflight ─► name (lock) ─► topology.yaml, plan.pb ─► netloom-machine ─► ready ─► GET /v1/progress … converged
//
// Until netloom-machine holds the lock, this process does; whatever goes wrong, or Ctrl-C, takes back what was begun.
// Only one ending leaves a lab that is not as asked: the time ran out before it converged, so that it can be looked at.

internal import CLinux
internal import ControlProtocol
internal import EventLoop
internal import Glibc
internal import Intent
public import NorthboundAPI
internal import NorthboundClient
internal import SwiftProtobuf
public import Topology

public struct LabStart: Sendable {
  /// How far it has come.
  public enum Step: Sendable, Equatable {
    case replacing
    /// netloom-machine builds; its own words.
    case building(String)
    case converging(Progress)
  }

  public var topology: ResolvedLab
  /// A lab of that name which runs already is taken down first.
  public var replace: Bool
  /// How long it may take to converge, counted from the start.
  public var timeout: Duration
  /// KEY=VALUE, for every process of the lab.
  public var environment: [String]
  /// Who does it, for the history.
  public var author = ""
  /// A port of the machine's loopback where the API is served too; 0: nowhere but on its socket.
  public var apiPort: UInt16 = 0

  public init(topology: ResolvedLab, replace: Bool, timeout: Duration, environment: [String]) {
    self.topology = topology
    self.replace = replace
    self.timeout = timeout
    self.environment = environment
  }

  /// Builds the lab and returns when it has converged.
  ///
  /// Throws `NotConverged` when the time is up (the lab stays) and `LabError` otherwise (nothing stays). When the task
  /// is cancelled, what was begun is taken down and `LabError.interrupted` thrown.
  public func run(in root: RunRoot, report: @Sendable (Step) -> Void = { _ in }) async throws -> Lab {
    let deadline = ContinuousClock.now + timeout
    try Preflight.check(topology)
    try root.checkLength(of: topology.name)
    try root.create()
    let directory = root.directory(of: topology.name)
    let machine = try begin(in: root, directory, report)
    do {
      try await waitUntilBuilt(machine, directory, report)
      try await waitUntilConverged(directory, deadline, report)
    } catch let error as NotConverged {
      throw error
    } catch {
      try await undo(root, machine, because: error)
    }
    guard let lab = root.lab(named: topology.name) else {
      throw LabError(.environment, "lab \(topology.name) ended as soon as it had converged")
    }
    return lab
  }
}

/// The lab runs but did not converge in time.
public struct NotConverged: Error, Sendable {
  public let lab: Lab
  public let timeout: Duration
  public let reasons: [String]
}

// MARK: - Making it

extension LabStart {
  /// Takes the name, writes the files, starts netloom-machine, which inherits the lock.
  private func begin(
    in root: RunRoot, _ directory: RunDirectory, _ report: (Step) -> Void
  ) throws(LabError) -> MachineProcess {
    let program = try Programs.own("netloom-machine")
    let lock = try takeName(in: root, directory, report)
    do {
      Folder.empty(directory.path, keeping: ["lock"])
      try systemCall("mkdir", directory.logs) { mkdir(directory.logs, 0o700) }
      let text = try SmallFile.read(topology.file)
      try SmallFile.write(directory.topology, text, mode: 0o600)
      try SmallFile.write(directory.plan, plan(in: directory), mode: 0o600)
      return try MachineProcess.start(program, in: directory, lock: lock, environment: environment)
    } catch {
      Folder.remove(directory.path)
      if let error = error as? LabError { throw error }
      throw LabError(.environment, "cannot prepare \(directory.path): \(error)")
    }
  }

  private func takeName(
    in root: RunRoot, _ directory: RunDirectory, _ report: (Step) -> Void
  ) throws(LabError) -> LabLock {
    if let lock = try LabLock.take(directory) { return lock }
    guard replace else {
      throw LabError(
        .didNotHold,
        "a lab \(topology.name) is already running; take it down with netloom down \(topology.name), "
          + "or give --replace or another --name")
    }
    report(.replacing)
    if let running = root.lab(named: topology.name) { try running.stop() }
    if let lock = try LabLock.take(directory) { return lock }
    throw LabError(.didNotHold, "the name \(topology.name) was taken again while the old lab went down")
  }

  private func plan(in directory: RunDirectory) throws -> [UInt8] {
    var name = [UInt8](repeating: 0, count: 256)
    name.withUnsafeMutableBytes { bytes in
      if let start = bytes.baseAddress { _ = gethostname(start, bytes.count - 1) }
    }
    let machine = String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
    var context = PlanContext(
      environment: environment, machine: machine, programs: try Programs.directory(), topology: directory.topology)
    context.author = author
    context.apiPort = apiPort
    return try machinePlan(of: topology, in: context).serializedBytes()
  }
}

// MARK: - Waiting for it

extension LabStart {
  private func waitUntilBuilt(
    _ machine: MachineProcess, _ directory: RunDirectory, _ report: (Step) -> Void
  ) async throws {
    for await line in machine.reports {
      switch line {
      case .progress(let text): report(.building(text))
      case .ready: return
      case .failed(let reason): throw LabError(.environment, Preflight.explained(reason))
      }
    }
    try Task.checkCancellation()
    throw LabError(.environment, "the machine process ended before the lab stood\(lastWords(directory))")
  }

  private func waitUntilConverged(
    _ directory: RunDirectory, _ deadline: ContinuousClock.Instant, _ report: (Step) -> Void
  ) async throws {
    let client = NorthboundClient(socket: directory.apiSocket)
    var seen: UInt64 = 0
    while true {
      let left = deadline - ContinuousClock.now
      let progress: Progress
      do {
        progress = try await client.progress(seen: seen, wait: max(.zero, min(left, .seconds(1))))
      } catch let error as ClientError {
        if LabLock.isHeld(directory) { throw LabError(.environment, "\(error)") }
        throw LabError(.environment, "the lab ended while it was coming up\(lastWords(directory))")
      }
      report(.converging(progress))
      if let error = progress.error { throw LabError(.didNotHold, error) }
      if progress.converged, progress.built, progress.execDone { return }
      if ContinuousClock.now >= deadline { throw notConverged(directory, progress) }
      seen = progress.revision
    }
  }

  private func notConverged(_ directory: RunDirectory, _ progress: Progress) -> any Error {
    let root = RunRoot(path: String(directory.path.dropLast(topology.name.count + 1)))
    guard let lab = root.lab(named: topology.name) else {
      return LabError(.environment, "the lab ended while it was coming up\(lastWords(directory))")
    }
    var reasons = progress.reasons
    if !progress.built { reasons.insert("it is not built yet", at: 0) }
    if !progress.execDone { reasons.append("some node's exec has not finished") }
    return NotConverged(lab: lab, timeout: timeout, reasons: reasons)
  }

  /// Takes back what was begun and throws on; the run directory goes too, so its last words are in the message.
  private func undo(_ root: RunRoot, _ machine: MachineProcess, because error: any Error) async throws -> Never {
    if let lab = root.lab(named: topology.name) { _ = try? lab.stop() }
    machine.reap()
    if error is CancellationError || Task.isCancelled {
      throw LabError(.interrupted, "interrupted; lab \(topology.name) was taken down again")
    }
    throw error
  }

  /// The end of the machine's log, for a message.
  private func lastWords(_ directory: RunDirectory) -> String {
    guard let text = try? SmallFile.text(directory.log("machine")),
      let line = text.split(separator: "\n").last(where: { !$0.allSatisfy(\.isWhitespace) })
    else { return "" }
    return ": \(line)"
  }
}
