import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Testing

@Suite(.serialized) struct SupervisionTests {
  @Test(arguments: Privilege.possible)
  func execRunsInOrderToCompletionBeforeTheServersAndServersAreRestarted(_ privilege: Privilege) throws {
    let lab = try TestLab(privilege)
    lab.node("h1") {
      $0.exec = ["echo one > order", "sleep 0.1; echo two >> order"]
      $0.commands = ["echo server >> order; exec sleep 1000"]
    }
    try lab.start()
    try lab.wait("the server") {
      lab.state.execDone && lab.state.processes.contains { $0.name == "cmd1" && $0.running }
    }
    let first = try lab.process("h1", "cmd1")
    try lab.wait("its line") { try SmallFile.text(lab.root + "/order") == "one\ntwo\nserver\n" }
    kill(first.outerPid, SIGKILL)
    try lab.wait("the restart") {
      let now = try lab.process("h1", "cmd1")
      return now.running && now.pid != first.pid
    }
    try lab.wait("its line") { try SmallFile.text(lab.root + "/order") == "one\ntwo\nserver\nserver\n" }
  }

  @Test(arguments: Privilege.possible)
  func theAgentIsToldWhenExecHasEndedAndOneThatStartsLaterFindsTheMark(_ privilege: Privilege) throws {
    let lab = try TestLab(privilege)
    let agent = "trap 'echo told' URG; echo ready > \(lab.root)/ready; while :; do sleep 1000 & wait; done"
    try SmallFile.write("\(lab.root)/netloom-node", "#!/bin/sh\n\(agent)\n", mode: 0o755)
    let mark = lab.directory.setUpMark("r1")
    lab.node("r1", "router") {
      $0.agent = true
      $0.exec = ["while ! test -e ready; do sleep 0.01; done; test ! -e \(mark) && touch checked"]
    }
    lab.node("h1")
    try lab.start()
    try lab.wait("the end of exec") { lab.state.execDone }
    #expect(access(lab.root + "/checked", F_OK) == 0 && access(mark, F_OK) == 0, "\(lab.log("r1.exec"))")
    #expect(access(lab.directory.setUpMark("h1"), F_OK) == 0, "without lines it is over at once")
    try lab.wait("the signal") { lab.log("r1").contains("told") }
    try SmallFile.write(lab.directory.baseline("r1"), "")
    #expect(try lab.power("r1", on: false).error.isEmpty)
    #expect(access(mark, F_OK) != 0 && access(lab.directory.baseline("r1"), F_OK) != 0)
  }

  @Test func aFailingExecLineIsSaidWithItsLastWordsAndStopsTheOnesAfterIt() throws {
    let lab = try TestLab(Privilege.possible[0])
    lab.node("h1") { $0.exec = ["echo no such luck >&2; exit 4", "touch never"] }
    try lab.start()
    try lab.wait("the end of exec") { lab.state.execDone }
    #expect(lab.state.error == "node h1: exec \"echo no such luck >&2; exit 4\" failed: exit 4: no such luck")
    #expect(lab.log("h1.exec") == "no such luck\n")
    #expect(access(lab.root + "/never", F_OK) != 0)
  }

  @Test func aServerThatKeepsFailingIsTriedAgainWithGrowingPausesAndItsNodeIsCalledFailed() throws {
    let lab = try TestLab(Privilege.possible[0])
    lab.node("h1") { $0.commands = ["echo x >> tries; exit 1"] }
    try lab.start()
    try lab.wait("the fourth failure") { lab.state.nodes.first?.state == "failed" }
    let tries = try SmallFile.text(lab.root + "/tries").split(separator: "\n").count
    #expect((4...6).contains(tries))
    #expect(try lab.process("h1", "cmd1").lastExit == "exit 1")
  }

  @Test func aControllerThatDiesIsStartedAgainAndHearsEverythingAnew() throws {
    let lab = try fiveNodes(Privilege.possible[0])
    try lab.start()
    #expect(lab.hellos == 1)
    let first = try lab.process("", "controller")
    #expect(
      try lab.order {
        $0.kill = .with {
          $0.process = "controller"; $0.signal = SIGKILL
        }
      }.error.isEmpty)
    try lab.wait("the restart") {
      let now = try lab.process("", "controller")
      return now.running && now.pid != first.pid
    }
    lab.dropConnection()
    try lab.wait("the next hello") { lab.hellos == 2 }
    #expect(lab.state.nodes.count == 5)
  }

  @Test func theProbeStartsWhenOrderedAndOnlyOnce() throws {
    let lab = try TestLab(Privilege.possible[0])
    lab.node("h1")
    try lab.start()
    #expect(!lab.state.processes.contains { $0.name == "probe" })
    for _ in 0..<2 { #expect(try lab.order { $0.startProbe = NLStartProbe() }.error.isEmpty) }
    try lab.wait("the probe") { lab.state.processes.contains { $0.name == "probe" && $0.running } }
    #expect(try lab.process("", "probe").restarts == 0)
  }

  @Test func orphansOfTheLabAreReaped() throws {
    let lab = try TestLab(Privilege.possible[0])
    lab.node("h1")
    try lab.start()
    // A grandchild whose parent ends becomes the init's.
    _ = try lab.shell("h1", "(sleep 0.05 &) ; exit 0")
    try lab.wait("no zombie") { try lab.run("", "sh", "-c", "ps -eo stat | grep -q ^Z").code != 0 && !lab.hasSleep }
  }
}

extension TestLab {
  fileprivate var hasSleep: Bool { (try? run("", "pgrep", "-f", "sleep 0.05").code) == 0 }
}
