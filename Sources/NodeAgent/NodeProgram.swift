internal import CLinux
import Glibc
internal import ControlProtocol
internal import EventLoop

/// netloom-node: one router's speaker and agent, or a standalone speaker.
public enum NodeProgram {
  /// What the command line says.
  enum Mode: Equatable {
    case lab(directory: String, node: String)
    case standalone(file: String, reloadCommand: [String])
    /// Make agents on request.
    case serve(socket: Int32)
    /// Hand connections on to ports of this namespace.
    case publish([PublishRelay.Port])
  }

  struct Arguments: Equatable {
    var mode: Mode
    var listeners: [Int32] = []
    /// The node is a pod, whose programs ask the controller for xDS.
    var servesXDS = false

    static let usage = """
      usage: netloom-node --run DIRECTORY --node NAME [--listen FD[,FD]] [--restarted] [--xds]
             netloom-node --standalone FILE [--listen FD[,FD]] [-- RELOAD COMMAND...]
             netloom-node --publish FD:PORT[,FD:PORT]
             netloom-node --serve FD [--room TEXT]   (TEXT: in whose place agents write their own arguments)
      """

    /// nil: not understood.
    init?(_ words: [String]) {
      var values: [String: String] = [:]
      var rest = words[...]
      var reload: [String] = []
      while let word = rest.popFirst() {
        switch word {
        case "--run", "--node", "--listen", "--standalone", "--serve", "--room", "--publish":
          guard let value = rest.popFirst() else { return nil }
          values[word] = value
        case "--xds": servesXDS = true
        case "--restarted": break  // the kernel's routes and the run directory say so themselves
        case "--":
          reload = Array(rest)
          rest = []
        default: return nil
        }
      }
      if let file = values["--standalone"] {
        mode = .standalone(file: file, reloadCommand: reload)
      } else if let directory = values["--run"], let node = values["--node"] {
        mode = .lab(directory: directory, node: node)
      } else if let socket = values["--serve"].flatMap({ Int32($0) }), socket > 2 {
        mode = .serve(socket: socket)
      } else if let ports = values["--publish"].flatMap(Self.ports) {
        mode = .publish(ports)
      } else {
        return nil
      }
      guard let list = values["--listen"] else { return }
      for number in list.split(separator: ",") {
        guard let descriptor = Int32(number), descriptor > 2 else { return nil }
        listeners.append(descriptor)
      }
    }

    private static func ports(_ list: String) -> [PublishRelay.Port]? {
      let ports = list.split(separator: ",").map { pair -> PublishRelay.Port? in
        let parts = pair.split(separator: ":")
        guard parts.count == 2, let listener = Int32(parts[0]), listener > 2, let inner = UInt16(parts[1]), inner > 0
        else { return nil }
        return PublishRelay.Port(listener: listener, inner: inner)
      }
      return ports.isEmpty || ports.contains(nil) ? nil : ports.compactMap(\.self)
    }
  }

  /// Runs until it is told to end. The result is the exit status.
  public static func run(_ words: [String]) -> Int32 {
    let log = Log()
    guard var arguments = Arguments(words) else {
      var usage = Array((Arguments.usage + "\n").utf8)
      _ = write(2, &usage, usage.count)
      return 2
    }
    if case .serve(let socket) = arguments.mode {
      guard let agent = ForkServer.run(socket) else { return 0 }
      arguments = agent
    }
    do {
      let loop = try EventLoop()
      let program = try start(arguments, loop, log)
      var isStopping = false
      try loop.onSignals([SIGTERM, SIGINT, SIGHUP, SIGURG]) { signal in
        if signal == SIGHUP { return program.reload() }
        if signal == SIGURG { return program.setUpMayBeOver() }
        guard !isStopping else { return loop.stop() }
        isStopping = true
        log.info("told to end")
        // A neighbor that takes nothing any more must not keep us.
        loop.after(EventLoop.milliseconds(2000)) { loop.stop() }
        program.stop { loop.stop() }
      }
      program.setUpMayBeOver()  // if the signal came before it was taken
      try loop.run()
      return 0
    } catch {
      log.error("\(error)")
      return error is Refusal ? 2 : 3
    }
  }

  /// Ends the process at once, without running what other threads still need.
  public static func exit(_ status: Int32) -> Never { _exit(status) }

  /// What a signal asks of the program that runs.
  private struct Running {
    var stop: (@escaping () -> Void) -> Void
    var reload: () -> Void = {}
    var setUpMayBeOver: () -> Void = {}
  }

  private static func start(_ arguments: Arguments, _ loop: EventLoop, _ log: Log) throws -> Running {
    switch arguments.mode {
    case .lab(let directory, let node):
      let run = RunDirectory(path: directory)
      let agent = try Agent(
        loop: loop, controllerSocket: run.controllerSocket, name: node, listeners: arguments.listeners, log: log,
        runDirectory: run)
      agent.start()
      let xds = arguments.servesXDS ? try XDSRelay(loop, log, run, node: node) : nil
      return Running(
        stop: { done in withExtendedLifetime(xds) { agent.stop(done: done) } },
        setUpMayBeOver: { agent.setUpMayBeOver() })
    case .standalone(let file, let reloadCommand):
      let speaker = try Standalone(
        loop: loop, log: log, path: file, reloadCommand: reloadCommand, listeners: arguments.listeners)
      return Running(stop: { speaker.stop(done: $0) }, reload: { speaker.reload() })
    case .publish(let ports):
      let relay = try PublishRelay(loop, log, ports)
      return Running(stop: { done in withExtendedLifetime(relay) { done() } })
    case .serve: throw Refusal("--serve", "not as an agent")
    }
  }
}
