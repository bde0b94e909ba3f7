// A lab for a test: netloom-machine as a real process, stand-ins for the programs it starts, and the test itself as
// the controller.
//
//   test ── plan.pb ──► netloom-machine --run DIR --ready FD
//     ▲                        │ Hello, MachineState, MachineReply
//     └── controller.sock ◄────┘
//     └── machine.sock ───► exec
import CLinux
import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Synchronization
import Testing

enum Privilege: String, CaseIterable, CustomTestStringConvertible {
  case root, ordinaryUser
  var testDescription: String { rawValue }

  /// What this test process may try.
  static var possible: [Privilege] {
    if geteuid() == 0 { return allCases }
    print("not root: only the tests of an ordinary user's labs run")
    return [.ordinaryUser]
  }
}

struct TestFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

final class TestLab {
  private static let count = Atomic<Int>(0)

  let name: String
  let directory: RunDirectory
  let root: String
  let loop: EventLoop
  var plan = NLMachinePlan()
  private let privilege: Privilege
  private let listener: Int32
  private(set) var controller: StreamConnection?
  private var reader = FrameReader()
  private(set) var state = NLMachineState()
  private(set) var hellos = 0
  private var replies: [UInt64: NLMachineReply] = [:]
  private var nextRequest: UInt64 = 0
  private(set) var reports: [String] = []

  init(_ privilege: Privilege) throws {
    name = "nlmt\(getpid())-\(Self.count.add(1, ordering: .relaxed).newValue)"
    root = "/tmp/\(name)"
    directory = RunDirectory(path: "\(root)/\(name)")
    self.privilege = privilege
    loop = try EventLoop()
    for path in [root, directory.path] { try systemCall("mkdir", path) { mkdir(path, 0o755) } }
    listener = try UnixSocket.listen(directory.controllerSocket, mode: 0o666).release()
    try Self.copyProgram("netloom-machine", to: root)
    for program in ["netloom-controller", "netloom-node", "netloom-probe"] {
      try SmallFile.write("\(root)/\(program)", "#!/bin/sh\necho \"started $@\"\nexec sleep 1000\n", mode: 0o755)
    }
    plan.lab = name
    plan.machine = "test"
    plan.programs = root
    plan.baseDirectory = root
    plan.hosts = "127.0.0.1 localhost\n10.0.1.1 h1\n10.0.1.2 h2\n"
    plan.environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "FLAVOUR=plain"]
    try loop.register(listener, .read) { [weak self] _ in self?.accept() }
  }

  deinit {
    if let pid = initPid { kill(pid, SIGKILL) }
    controller?.close()
    close(listener)
    let limit = EventLoop.clock() + 3_000_000_000
    while !isUnlocked, EventLoop.clock() < limit { _ = try? loop.step(timeout: 2_000_000) }
    removeTree(root)
  }

  /// Beside the test bundle; copied to where every user may run it.
  private static func copyProgram(_ name: String, to root: String) throws {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let own = String(decoding: buffer[..<max(0, count)].map(UInt8.init(bitPattern:)), as: UTF8.self)
    let folder = own.prefix(upTo: own.lastIndex(of: "/") ?? own.startIndex)
    try SmallFile.write("\(root)/\(name)", try SmallFile.read("\(folder)/\(name)"), mode: 0o755)
  }

  // MARK: Plan

  /// Adds a node and hands it to the closure.
  func node(_ name: String, _ kind: String = "host", _ fill: (inout NLNodePlan) -> Void = { _ in }) {
    var node = NLNodePlan()
    node.name = name
    node.kind = kind
    fill(&node)
    plan.nodes.append(node)
  }

  /// A link `10.0.NUMBER.1/24, fd00:NUMBER::1/64` – `.2`, `::2`; no addresses on switch ports.
  func link(
    _ number: UInt8, _ a: (String, String, UInt32), _ b: (String, String, UInt32), addressed: [Bool] = [true, true]
  ) {
    var link = NLLinkPlan()
    link.a = end(a, number, 1, addressed[0])
    link.b = end(b, number, 2, addressed[1])
    link.permanentNeighbors = addressed == [true, true]
    plan.links.append(link)
  }

  private func end(_ end: (String, String, UInt32), _ number: UInt8, _ side: UInt8, _ addressed: Bool) -> NLLinkEnd {
    var plan = NLLinkEnd()
    (plan.node, plan.interface, plan.ifindex) = end
    plan.mac = Data([2, 0, 0, 0, number, side])
    if addressed {
      plan.addresses = [
        .with {
          $0.address = Data([10, 0, number, side]); $0.length = 24
        },
        .with {
          $0.address = Data([0xFD, 0, 0, number] + [UInt8](repeating: 0, count: 11) + [side])
          $0.length = 64
        },
      ]
    }
    return plan
  }

  // MARK: Running

  /// Starts it and waits for `ready` (or an error, which is thrown).
  func start() throws {
    try launch()
    try wait("ready") { self.reports.contains { $0 == "ready" || $0.hasPrefix("error") } }
    if let error = reports.first(where: { $0.hasPrefix("error") }) { throw TestFailure(error) }
    try wait("a built state") { self.state.built && self.state.nodes.allSatisfy { $0.pid > 0 } }
  }

  /// Starts it without waiting.
  func launch() throws {
    try SmallFile.write(directory.plan, try plan.serializedBytes() as [UInt8])
    if privilege == .ordinaryUser, geteuid() == 0 {
      for path in [root, directory.path, directory.plan, directory.controllerSocket] { chown(path, 65534, 65534) }
    }
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe2") { pipe2(&ends, O_CLOEXEC) }
    let (readEnd, writeEnd) = (ends[0], ends[1])
    let arguments = ["\(root)/netloom-machine", "--run", directory.path, "--ready", "\(writeEnd)"]
    let drop = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    let user = privilege == .ordinaryUser && geteuid() == 0
    let pid = try spawn((user ? drop : []) + arguments, keep: [writeEnd])
    close(writeEnd)
    try collectLines(readEnd)
    try loop.onExit(ofChild: pid) { _ in }
  }

  private func collectLines(_ descriptor: Int32) throws {
    var text = ""
    // The loop still turns in deinit, when nobody wants to hear any more.
    try loop.register(descriptor, .read) { [weak self, unowned loop] _ in
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = read(descriptor, &buffer, buffer.count)
      if count <= 0 {
        loop.unregister(descriptor)
        close(descriptor)
        self?.reports.append("end")
        return
      }
      guard let self else { return }
      text += String(decoding: buffer[..<count], as: UTF8.self)
      while let end = text.firstIndex(of: "\n") {
        reports.append(String(text[..<end]))
        text = String(text[text.index(after: end)...])
      }
    }
  }

  /// Turns the loop until it holds, ten seconds at most.
  func wait(_ what: String, _ holds: () throws -> Bool) throws {
    let limit = EventLoop.clock() + 10_000_000_000
    while try !holds() {
      if EventLoop.clock() > limit {
        let log = (try? SmallFile.text(directory.log("machine"))) ?? "no log"
        throw TestFailure("waited in vain for \(what); reports \(reports); \(log)")
      }
      try loop.step(timeout: 5_000_000)
    }
  }

  var initPid: Int32? {
    (try? SmallFile.text(directory.pid)).flatMap { Int32($0.prefix { $0.isNumber }) }
  }

  /// Nobody holds the lab's name.
  var isUnlocked: Bool {
    guard let file = try? FileDescriptor.open(directory.lock, O_RDONLY) else { return true }
    return flock(file.rawValue, LOCK_SH | LOCK_NB) == 0
  }

  func log(_ name: String) -> String { (try? SmallFile.text(directory.log(name))) ?? "" }

  func nodeState(_ name: String) throws -> NLNodeState {
    try #require(state.nodes.first { $0.name == name })
  }

  func process(_ node: String, _ name: String) throws -> NLProcessState {
    try #require(state.processes.first { $0.node == node && $0.name == name })
  }

  // MARK: Being the controller

  private func accept() {
    do {
      guard let socket = try UnixSocket.accept(listener) else { return }
      let connection = try StreamConnection(loop, socket)
      controller?.close()
      controller = connection
      reader = FrameReader()
      connection.onBytes = { [weak self] in self?.receive($0) }
    } catch {
      Issue.record("accept: \(error)")
    }
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    reader.append(bytes)
    while let message = (try? reader.next(NLToController.self)).flatMap({ $0 }) {
      switch message.body {
      case .hello(let hello): if hello.role == .machine { hellos += 1 }
      case .machineState(let state): self.state = state
      case .machineReply(let reply): replies[message.request] = reply
      default: break
      }
    }
  }

  /// Drops the connection, as a controller that dies does.
  func dropConnection() {
    controller?.close()
    controller = nil
  }

  /// Gives an order and waits for its answer.
  @discardableResult
  func order(_ fill: (inout NLMachineCommand) -> Void) throws -> NLMachineReply {
    nextRequest += 1
    let request = nextRequest
    var message = NLFromController()
    message.request = request
    fill(&message.machineCommand)
    controller?.send(try frame(message))
    try wait("an answer") { self.replies[request] != nil }
    return try #require(replies[request])
  }
}

/// Starts a program with this process's environment.
func spawn(_ argv: [String], keep: [Int32] = [], stdio: [Int32] = [-1, -1, -1]) throws -> Int32 {
  var words: [UnsafeMutablePointer<CChar>?] = argv.map { (word: String) in strdup(word) }
  words.append(nil)
  defer { for word in words { free(word) } }
  var environment: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil]
  defer { free(environment[0]) }
  var stage: Int32 = 0
  return try words.withUnsafeMutableBufferPointer { words in
    try environment.withUnsafeMutableBufferPointer { environment in
      try keep.withUnsafeBufferPointer { keep in
        var process = nl_process()
        process.argv = UnsafePointer(words.baseAddress)
        process.envp = UnsafePointer(environment.baseAddress)
        (process.net, process.mount, process.uts) = (-1, -1, -1)
        (process.input, process.output, process.error) = (stdio[0], stdio[1], stdio[2])
        (process.keep, process.keep_count) = (keep.baseAddress, Int32(keep.count))
        (process.uid, process.gid) = (.max, .max)
        return try systemCall("spawn") { nl_spawn(&process, &stage) }
      }
    }
  }
}

func removeTree(_ path: String) {
  var status = stat()
  guard lstat(path, &status) == 0 else { return }
  guard status.st_mode & S_IFMT == S_IFDIR, let stream = opendir(path) else {
    unlink(path)
    return
  }
  var names: [String] = []
  while let entry = readdir(stream) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  closedir(stream)
  for name in names { removeTree("\(path)/\(name)") }
  rmdir(path)
}
