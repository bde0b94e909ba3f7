import CLinux
import Glibc
import ControlProtocol
import EventLoop
import SwiftProtobuf

/// One connection of machine.sock: at most one command. When the client goes away the command's group gets SIGHUP, and
/// a second later SIGKILL.
final class ExecSession {
  private let lab: LabContext
  private let connection: StreamConnection
  private weak var machine: LabMachine?
  private let finished: (ExecSession) -> Void
  private var reader = FrameReader()
  private var descriptors: [Int32] = []
  private var pid: Int32 = 0
  private var executed = false

  init(
    _ lab: LabContext, _ connection: StreamConnection, _ machine: LabMachine?, finished: @escaping (ExecSession) -> Void
  ) {
    self.lab = lab
    self.connection = connection
    self.machine = machine
    self.finished = finished
    connection.onDescriptors = { [unowned self] in descriptors += $0 }
    connection.onBytes = { [unowned self] in receive($0) }
    connection.onClose = { [unowned self] _ in clientLeft() }
  }

  deinit { closeDescriptors() }

  private func closeDescriptors() {
    for descriptor in descriptors { close(descriptor) }
    descriptors = []
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    reader.append(bytes)
    do throws(FramingError) {
      while let message = try reader.next(NLToMachine.self) { handle(message) }
    } catch {
      MachineLog.warning("machine.sock: \(error)")
      connection.close()
      clientLeft()
    }
  }

  private func handle(_ message: NLToMachine) {
    switch message.body {
    case .execute(let order): execute(order)
    case .signal(let order): ProcessTable.signal(group: pid, order.number)
    case .stop: machine?.stop()
    case nil: refuse("an order that this version does not know")
    }
  }

  // MARK: Running

  private func execute(_ order: NLExecute) {
    guard !executed else { return refuse("one command per connection") }
    executed = true
    defer { closeDescriptors() }
    do {
      try run(order)
    } catch let error as SpawnError where error.stage == NL_SPAWN_EXEC {
      // As a shell: the message on standard error, 126 or 127.
      let line = Array("netloom: \(error)\n".utf8)
      if descriptors.count > 2 { _ = write(descriptors[2], line, line.count) }
      reply { $0.exited = .with { $0.code = error.exitCode } }
    } catch {
      refuse("\(error)")
    }
  }

  private func run(_ order: NLExecute) throws {
    guard let machine, machine.isBuilt else { throw BuildError("the lab is still being built") }
    guard !order.argv.isEmpty else { throw BuildError("no command") }
    var request = SpawnRequest(argv: order.argv)
    request.environment = order.environment + ["NETLOOM_LAB=\(lab.plan.lab)"]
    request.directory = order.directory.isEmpty ? nil : order.directory
    request.openFiles = lab.openFiles
    if !order.node.isEmpty {
      guard let node = machine.byName[order.node] else { throw BuildError("there is no node \(order.node)") }
      guard node.isOn else { throw BuildError("node \(order.node) is switched off") }
      try node.placeInside(&request)
    }
    if order.terminal {
      try runOnTerminal(order, &request)
    } else {
      guard descriptors.count >= 3 else { throw BuildError("standard input, output and error did not come along") }
      (request.input, request.output, request.error) = (descriptors[0], descriptors[1], descriptors[2])
      try start(request)
      reply { $0.started = .with { $0.pid = self.pid } }
    }
  }

  /// Once the client has the master nobody else has: when it goes, the kernel hangs the terminal up.
  private func runOnTerminal(_ order: NLExecute, _ request: inout SpawnRequest) throws {
    var slave: Int32 = -1
    let raw = try systemCall("open", "a terminal") {
      nl_open_terminal(&slave, Int32(clamping: order.rows), Int32(clamping: order.columns))
    }
    let master = FileDescriptor(owning: raw)
    let terminal = FileDescriptor(owning: slave)
    let number = terminal.rawValue
    (request.input, request.output, request.error) = (number, number, number)
    request.terminal = true
    try start(request)
    let message = NLFromMachine.with { $0.started = .with { $0.pid = self.pid } }
    try connection.send(try frame(message), descriptors: [master.rawValue])
  }

  private func start(_ request: SpawnRequest) throws(SpawnError) {
    pid = try lab.table.start(request) { [weak self] status in self?.ended(status) }
  }

  private func ended(_ status: ProcessExit) {
    pid = 0
    reply { message in
      switch status {
      case .exited(let code): message.exited = .with { $0.code = code }
      case .signaled(let number): message.exited = .with { $0.signal = number }
      }
    }
  }

  private func refuse(_ text: String) { reply { $0.error = text } }

  private func reply(_ fill: (inout NLFromMachine) -> Void) {
    var message = NLFromMachine()
    fill(&message)
    do throws(FramingError) {
      connection.send(try frame(message))
    } catch {
      MachineLog.error("machine.sock: \(error)")
    }
  }

  // MARK: Ending

  private func clientLeft() {
    if pid > 0 {
      let group = pid
      ProcessTable.signal(group: group, SIGHUP)
      // A stopped group hears SIGHUP only once it goes on.
      ProcessTable.signal(group: group, SIGCONT)
      lab.loop.after(1_000_000_000) { ProcessTable.signal(group: group, SIGKILL) }
    }
    finished(self)
  }
}
