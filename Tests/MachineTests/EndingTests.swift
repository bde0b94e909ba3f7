import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Testing

@Suite(.serialized) struct EndingTests {
  @Test(arguments: Privilege.possible)
  func killingTheInitLeavesNothingWithinASecond(_ privilege: Privilege) throws {
    let lab = try fiveNodes(privilege)
    lab.plan.nodes[0].commands = ["exec sleep 1000"]
    try lab.start()
    try lab.wait("the server") { lab.state.processes.contains { $0.node == "h1" && $0.running } }
    let pids = lab.outerPids
    #expect(pids.count >= 8)
    let namespace = "net:[\(try lab.shell("r1", "stat -Lc %i /proc/self/ns/net"))]"
    let pid = try #require(lab.initPid)
    let start = EventLoop.clock()
    kill(pid, SIGKILL)
    try lab.wait("the end") { lab.isUnlocked && pids.allSatisfy { !isAlive($0) } }
    #expect(EventLoop.clock() - start < 1_000_000_000)
    #expect(namesLeft(lab).isEmpty)
    #expect(access(lab.directory.log("machine"), F_OK) == 0)
    #expect(lab.log("machine").contains("signal 9"))
    #expect(holders(of: namespace).isEmpty)
  }

  @Test(arguments: Privilege.possible)
  func aStopAsksTheServersAndRemovesEverything(_ privilege: Privilege) throws {
    let lab = try TestLab(privilege)
    lab.node("h1") { $0.commands = ["trap 'echo bye > bye; exit' TERM; echo up > up; while :; do sleep 0.01; done"] }
    try lab.start()
    try lab.wait("the trap") { access(lab.root + "/up", F_OK) == 0 }
    let pids = lab.outerPids
    try #require(lab.controller).send(try frame(NLFromController.with { $0.machineCommand.stop = NLStopLab() }))
    try lab.wait("the end") { lab.isUnlocked && pids.allSatisfy { !isAlive($0) } }
    #expect(try SmallFile.text(lab.root + "/bye") == "bye\n")
    #expect(access(lab.directory.path, F_OK) != 0)
    #expect(namesLeft(lab).isEmpty)
  }

  @Test func aServerThatIgnoresTermDoesNotHoldTheStop() throws {
    let lab = try TestLab(Privilege.possible[0])
    lab.node("h1") { $0.commands = ["trap '' TERM; echo up > up; while :; do sleep 1; done"] }
    try lab.start()
    try lab.wait("the trap") { access(lab.root + "/up", F_OK) == 0 }
    let pid = try #require(lab.initPid)
    let start = EventLoop.clock()
    kill(pid, SIGTERM)
    try lab.wait("the end") { lab.isUnlocked }
    #expect(EventLoop.clock() - start < 1_000_000_000)
  }

  @Test(arguments: Privilege.possible)
  func killingTheOuterParentEndsTheLabToo(_ privilege: Privilege) throws {
    let lab = try fiveNodes(privilege)
    try lab.start()
    let pids = lab.outerPids
    let pid = try #require(lab.initPid)
    let parent = try #require(
      try SmallFile.text("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix("PPid:") }
        .flatMap { Int32($0.split(separator: "\t")[1]) })
    kill(parent, SIGKILL)
    try lab.wait("the end") { lab.isUnlocked && pids.allSatisfy { !isAlive($0) } }
    #expect(namesLeft(lab).isEmpty)
  }

  @Test func aTakenNameIsRefusedAndTheRunningLabIsUntouched() throws {
    let lab = try fiveNodes(Privilege.possible[0])
    try lab.start()
    let pid = lab.initPid
    try lab.launch()
    try lab.wait("the refusal") { lab.reports.contains { $0.hasPrefix("error") } }
    #expect(lab.reports.last { $0.hasPrefix("error") } == "error another lab holds \(lab.directory.lock)")
    #expect(lab.initPid == pid)
    #expect(try lab.shell("h1", "echo well") == "well")
  }

  @Test func whatCannotBeBuiltIsOneLineAndNothingIsLeft() throws {
    for (break_, message) in [
      ({ $0.plan.nodes[0].sysctls["net.ipv4.no_such_thing"] = "1" }, "/proc/sys/net/ipv4/no_such_thing"),
      ({ $0.plan.links[0].b.node = "elsewhere" }, "there is no node elsewhere"),
      ({ $0.plan.links[0].a.interface = "much-too-long-a-name" }, "is no interface name"),
      ({ $0.plan.nodes[1].name = "h1" }, "two nodes are called h1"),
      ({ $0.plan.links[1].a.ifindex = 2 }, "node r1"),
      ({ $0.plan.nodes[0].routes[0].nextHops[0].interface = "eth7" }, "there is no interface eth7"),
    ] as [((TestLab) -> Void, String)] {
      let lab = try fiveNodes(Privilege.possible[0])
      break_(lab)
      try lab.launch()
      try lab.wait("the report's end") { lab.reports.last == "end" }
      let errors = lab.reports.filter { $0.hasPrefix("error") }
      #expect(errors.count == 1)
      #expect(errors.first?.contains(message) == true, "\(errors)")
      #expect(!lab.reports.contains("ready"))
      #expect(lab.isUnlocked)
      #expect(namesLeft(lab).isEmpty)
    }
  }

  @Test func aMissingProgramIsSaidInTheStateAndTriedAgain() throws {
    let lab = try fiveNodes(Privilege.possible[0])
    unlink(lab.root + "/netloom-node")
    try lab.launch()
    try lab.wait("the state") { lab.state.processes.contains { $0.node == "r1" && $0.restarts > 1 } }
    #expect(try lab.process("r1", "agent").lastExit == "\(lab.root)/netloom-node: No such file or directory")
  }
}

extension TestLab {
  /// Every process of the lab that the machine has told of.
  fileprivate var outerPids: [Int32] {
    state.nodes.map(\.outerPid) + state.processes.filter(\.running).map(\.outerPid) + [state.initPid]
  }
}

/// A zombie is none: its end is only not collected yet.
func isAlive(_ pid: Int32) -> Bool {
  guard let status = try? SmallFile.text("/proc/\(pid)/stat") else { return false }
  return !status.contains(") Z ") && !status.contains(") X ")
}

/// Sockets, links and private directories of the lab that are still there.
private func namesLeft(_ lab: TestLab) -> [String] {
  let directory = lab.directory
  let own = [
    directory.pid, directory.machineSocket, directory.controllerSocket, directory.apiSocket, directory.path + "/nodes",
  ]
  let links = lab.plan.nodes.map { "/run/netns/\(lab.name).\($0.name)" }
  return (own + links).filter { path in
    var status = stat()
    return lstat(path, &status) == 0
  }
}

/// Processes that live in a namespace or hold it open.
func holders(of namespace: String) -> [String] {
  guard let stream = opendir("/proc") else { return ["/proc"] }
  defer { closedir(stream) }
  var found: [String] = []
  while let entry = readdir(stream) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    guard Int32(name) != nil else { continue }
    var buffer = [CChar](repeating: 0, count: 256)
    let count = readlink("/proc/\(name)/ns/net", &buffer, buffer.count)
    if count > 0, String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) == namespace {
      found.append(name)
    }
  }
  return found
}
