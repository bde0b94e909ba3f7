import CLinux
import ControlProtocol
import EventLoop
import Glibc

/// What every part of the init shares: the plan, the loop, the processes, and whom to tell of a change.
final class LabContext {
  let directory: RunDirectory
  let plan: NLMachinePlan
  let loop: EventLoop
  let table: ProcessTable
  /// Users other than root exist in the lab (root, or a mapped range of subordinate ids).
  let hasUsers: Bool
  /// Soft limit of open files before it was raised for the init itself.
  let openFiles: UInt64
  let published: PublishedPorts
  /// Makes the agents while the lab is built.
  var agentServer: AgentServer?
  /// Something that the controller is told of has changed.
  var changed: () -> Void = {}

  init(
    _ directory: RunDirectory, _ plan: NLMachinePlan, _ loop: EventLoop, _ table: ProcessTable, hasUsers: Bool,
    openFiles: UInt64, published: PublishedPorts
  ) {
    self.directory = directory
    self.plan = plan
    self.loop = loop
    self.table = table
    self.hasUsers = hasUsers
    self.openFiles = openFiles
    self.published = published
  }

  /// A request with what all have in common; output goes to `logs/NAME.log`, appended.
  func request(_ argv: [String], log: String) -> LoggedRequest {
    var request = SpawnRequest(argv: argv)
    request.environment = plan.environment + ["NETLOOM_LAB=\(plan.lab)"]
    request.openFiles = openFiles
    return LoggedRequest(request: request, log: directory.log(log))
  }

  /// One of netloom's own programs.
  func program(_ name: String) -> String { plan.programs.isEmpty ? name : plan.programs + "/" + name }

  /// Starts a request with its log opened; a log that cannot be opened (a full disk) is passed over, with a warning.
  func start(_ logged: LoggedRequest, onExit: @escaping (ProcessExit) -> Void) throws(SpawnError) -> Int32 {
    var request = logged.request
    let log = Self.openLog(logged.log)
    defer { close(log) }
    (request.output, request.error) = (log, log)
    if logged.isAgent, let pid = agentServer?.start(request) {
      table.watch(pid, onExit: onExit)
      return pid
    }
    return try table.start(request, onExit: onExit)
  }

  private static func openLog(_ path: String) -> Int32 {
    let log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    if log >= 0 { return log }
    MachineLog.warning("\(SystemError.last("open", path)); its output is dropped")
    return open("/dev/null", O_WRONLY | O_CLOEXEC)
  }
}

/// A request whose output goes to a file.
struct LoggedRequest {
  var request: SpawnRequest
  let log: String
  /// May be made by the `AgentServer`.
  var isAgent = false
}
