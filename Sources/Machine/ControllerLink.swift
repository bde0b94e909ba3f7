// The connection to the controller. It may come later than we and may crash: until it listens we try again every few
// milliseconds, and after each connect it hears who we are and how everything stands.
import CLinux
import Glibc
import ControlProtocol
import EventLoop
import SwiftProtobuf

final class ControllerLink {
  unowned var machine: LabMachine?
  private let lab: LabContext
  private let incarnation = EventLoop.clock()
  private var connection: StreamConnection?
  private var reader = FrameReader()
  private var retry: LoopTimer?
  private var report: LoopTimer?
  private var commands: [ObjectIdentifier: CapturedCommand] = [:]

  init(_ lab: LabContext) { self.lab = lab }

  func connect() {
    guard connection == nil else { return }
    do throws(SystemError) {
      let connection = try StreamConnection(lab.loop, try UnixSocket.connect(lab.directory.controllerSocket))
      self.connection = connection
      reader = FrameReader()
      connection.onBytes = { [unowned self] in receive($0) }
      connection.onClose = { [unowned self] _ in lost() }
      hello()
      sendState()
    } catch {
      tryAgain()
    }
  }

  private func lost() {
    connection = nil
    tryAgain()
  }

  private func tryAgain() {
    let timer = retry ?? LoopTimer(lab.loop) { [unowned self] in connect() }
    retry = timer
    timer.arm(after: 10_000_000)
  }

  // MARK: Sending

  private func hello() {
    var message = NLToController()
    message.hello = .with {
      $0.role = .machine
      $0.name = lab.plan.machine
      $0.pid = getpid()
      $0.incarnation = incarnation
    }
    send(message)
  }

  /// Tells the controller, at most every 20 ms: a start of 500 nodes is a thousand changes.
  func stateChanged() {
    guard report == nil else { return }
    report = lab.loop.after(20_000_000) { [unowned self] in
      report = nil
      sendState()
    }
  }

  private func sendState() {
    guard let machine, connection != nil else { return }
    var message = NLToController()
    message.machineState = machine.state
    send(message)
  }

  private func send(_ message: NLToController) {
    do throws(FramingError) {
      connection?.send(try frame(message))
    } catch {
      MachineLog.error("a message to the controller: \(error)")
    }
  }

  private func reply(_ request: UInt64, _ reply: NLMachineReply) {
    guard request != 0 else { return }
    var message = NLToController()
    message.request = request
    message.machineReply = reply
    send(message)
  }

  // MARK: Receiving

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    reader.append(bytes)
    do throws(FramingError) {
      while let message = try reader.next(NLFromController.self) {
        if case .machineCommand(let command) = message.body { perform(command, message.request) }
      }
    } catch {
      MachineLog.error("the controller said something unexpected: \(error)")
      connection?.close()
      lost()
    }
  }

  private func perform(_ command: NLMachineCommand, _ request: UInt64) {
    guard let machine else { return }
    var answer = NLMachineReply()
    do throws(BuildError) {
      switch command.command {
      case .linkAdmin(let order): try machine.setLink(try node(order.node), order.interface, up: order.up)
      case .power(let order): try machine.power(try node(order.node), on: order.on)
      case .kill(let order):
        if !machine.signal(node: order.node, process: order.process, order.signal) {
          throw BuildError("\(order.node.isEmpty ? "the lab" : "node \(order.node)") runs no \(order.process)")
        }
      case .startProbe: machine.startProbe()
      case .startAgent(let order): machine.startAgent(of: try node(order.node))
      case .podReady(let order): try node(order.node).sidecarIsReady()
      case .stop: machine.stop()
      case .run(let order): return try run(order, request)
      case .setLinkDelay(let order):
        return try machine.setDelay(order) { [weak self] in self?.reply(request, NLMachineReply()) }
      case .countLinks(let order):
        return machine.count(order) { [weak self] counters in
          self?.reply(request, NLMachineReply.with { $0.links = counters })
        }
      case .fetchImage(let order): return try fetch(order, request)
      case .setImage(let order): return try setImage(order, request)
      case nil: throw BuildError("an order that this version does not know")
      }
    } catch {
      answer.error = error.description
    }
    reply(request, answer)
  }

  private func node(_ name: String) throws(BuildError) -> Node {
    guard let node = machine?.byName[name] else { throw BuildError("there is no node \(name)") }
    return node
  }

  private func container(of name: String) throws(BuildError) -> Container {
    let node = try node(name)
    guard let container = node.container else { throw BuildError("node \(name) has no `image`: it runs no container") }
    guard node.isOn else { throw BuildError("node \(name) is switched off") }
    return container
  }

  private func fetch(_ order: NLFetchImage, _ request: UInt64) throws(BuildError) {
    let container = try container(of: order.node)
    let seconds = max(1, UInt64(order.withinMs) / 1000)
    container.fetch(order.image, within: seconds, awaits: false) { [unowned self] result in
      reply(request, result.map { fetched in .with { $0.digest = fetched.digest } })
    }
  }

  private func setImage(_ order: NLSetImage, _ request: UInt64) throws(BuildError) {
    try container(of: order.node).change(order) { [unowned self] result in reply(request, result) }
  }

  private func reply(_ request: UInt64, _ result: Result<NLContainerState, BuildError>) {
    reply(
      request,
      .with {
        switch result {
        case .success(let state): $0.container = state
        case .failure(let error): $0.error = error.description
        }
      })
  }

  private func run(_ order: NLRunCommand, _ request: UInt64) throws(BuildError) {
    var spawn = SpawnRequest(argv: order.argv)
    spawn.environment = lab.plan.environment + ["NETLOOM_LAB=\(lab.plan.lab)"]
    spawn.directory = lab.plan.baseDirectory.isEmpty ? nil : lab.plan.baseDirectory
    spawn.openFiles = lab.openFiles
    if !order.node.isEmpty { try node(order.node).placeInside(&spawn) }
    let command = CapturedCommand(lab, spawn, timeout: UInt64(order.timeoutMs)) { [unowned self] command, result in
      commands[ObjectIdentifier(command)] = nil
      reply(request, result)
    }
    commands[ObjectIdentifier(command)] = command
    command.start()
  }
}
