internal import ControlProtocol
internal import Intent
internal import Logging
internal import NIOCore
internal import NorthboundAPI
internal import Topology

/// Streams from the lab's processes: who they are, what they say, when they go.
extension LabController {
  func opened(_ connection: Connection) { connections[connection.id] = connection }

  func closed(_ id: Connection.ID) {
    connections[id] = nil
    for (request, waiting) in pending where waiting.connection == id {
      finish(request, .failure(APIError(code: "unavailable", message: "the process asked went away")))
    }
    switch roles.removeValue(forKey: id) {
    case .machine where machine.connection == id: machine.connection = nil
    case .probe where probe == id: probe = nil
    case .node(let name) where agents[name]?.connection == id: agentLeft(name)
    default: break
    }
  }

  func received(_ message: NLToController, from id: Connection.ID) {
    guard let body = message.body else { return }
    if case .hello(let hello) = body { return greet(hello, id) }
    // A pushed sample carries request 0; an answer of any kind finishes what waits for it.
    if message.request != 0, pending[message.request] != nil {
      if case .node(let name) = roles[id] { noteDrift(in: body, of: name) }
      finish(message.request, .success(body))
      return
    }
    switch (roles[id], body) {
    case (.node(let name), .ack(let ack)): acknowledged(ack, by: name)
    case (.node(let name), .sample(let sample)): sampled(sample, by: name)
    case (.node(let name), .event(let event)): happened(event, at: name)
    case (.node(let name), .drift(let report)): drifted(report, on: name)
    case (.machine, .machineState(let state)): machineReported(state)
    case (.probe, .trafficReply(let reply)) where reply.running: trafficGoesOn(reply)
    case (.machine, .event(let event)): record(event, from: "")
    default: break
    }
  }

  private func greet(_ hello: NLHello, _ id: Connection.ID) {
    guard let connection = connections[id], roles[id] == nil else { return }
    var welcome = NLWelcome()
    welcome.incarnation = incarnation
    switch hello.role {
    case .machine:
      roles[id] = .machine
      machine.connection = id
      connection.send(.welcome(welcome))
      podsStarted()
    case .probe:
      roles[id] = .probe
      probe = id
      connection.send(.welcome(welcome))
      wakeAll(.probe)
    case .node:
      // One that nobody expects was started for a change that an earlier controller was about to make.
      guard agents[hello.name] != nil || lab.node(hello.name) != nil else {
        logger.warning("a process says it is node \(hello.name), which the lab has not")
        return connection.close()
      }
      roles[id] = .node(hello.name)
      connection.send(.welcome(welcome))
      agentJoined(hello, connection)
    case .UNRECOGNIZED:
      connection.close()
    }
  }

  // MARK: questions

  /// Sends a request and waits for what answers it.
  func ask(
    _ id: Connection.ID, _ body: NLFromController.OneOf_Body, timeout: TimeAmount, whom: String
  ) async throws -> NLToController.OneOf_Body {
    guard let connection = connections[id] else {
      throw APIError(code: "unavailable", message: "\(whom) is not connected")
    }
    nextRequest += 1
    let request = nextRequest
    return try await withCheckedThrowingContinuation { continuation in
      let timer = loop.scheduleTask(in: timeout) {
        self.assumeIsolated { controller in
          let late = APIError(code: "timeout", message: "\(whom) did not answer in time")
          _ = controller.finish(request, .failure(late))
        }
      }
      pending[request] = PendingRequest(connection: id, continuation: continuation, timer: timer)
      connection.send(body, request: request)
    }
  }

  @discardableResult
  func finish(_ request: UInt64, _ result: Result<NLToController.OneOf_Body, any Error>) -> Bool {
    guard let waiting = pending.removeValue(forKey: request) else { return false }
    waiting.timer.cancel()
    waiting.continuation.resume(with: result)
    return true
  }

  /// Commands to netloom-machine; an error in its reply is thrown.
  @discardableResult
  func command(
    _ command: NLMachineCommand.OneOf_Command, timeout: TimeAmount = .seconds(10)
  ) async throws -> NLMachineReply {
    guard let id = machine.connection else {
      throw APIError(code: "unavailable", message: "netloom-machine is not connected")
    }
    var message = NLMachineCommand()
    message.command = command
    let answer = try await ask(id, .machineCommand(message), timeout: timeout, whom: "netloom-machine")
    guard case .machineReply(let reply) = answer else {
      throw APIError(code: "internal", message: "netloom-machine answered something else")
    }
    if !reply.error.isEmpty { throw APIError(code: "conflict", message: reply.error) }
    return reply
  }
}
