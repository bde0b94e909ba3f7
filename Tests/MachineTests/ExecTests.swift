import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Testing

@Suite(.serialized) struct ExecTests {
  private func oneHost(_ privilege: Privilege) throws -> TestLab {
    let lab = try TestLab(privilege)
    lab.node("h1") { $0.environment = ["FLAVOUR=sweet"] }
    try lab.start()
    return lab
  }

  @Test(arguments: Privilege.possible)
  func exitCodesAndSignalsAreReportedAsAShellWould(_ privilege: Privilege) throws {
    let lab = try oneHost(privilege)
    #expect(try lab.run("h1", "sh", "-c", "exit 42").code == 42)
    #expect(try lab.run("h1", "sh", "-c", "kill -TERM $$").signal == SIGTERM)
    let missing = try lab.run("h1", "no-such-program")
    #expect(missing.code == 127)
    #expect(missing.output == "netloom: no-such-program: command not found\n")
    #expect(try lab.run("h1", "/etc/passwd").code == 126)
    #expect(try lab.run("nowhere", "true").error == "there is no node nowhere")
  }

  @Test func theEnvironmentIsTheClientsAndTheNodesOnTop() throws {
    let lab = try oneHost(Privilege.possible[0])
    #expect(
      try lab.shell("h1", "echo $CLIENT $FLAVOUR $NETLOOM_NODE $NETLOOM_LAB; pwd") == "yes sweet h1 \(lab.name)\n/tmp")
  }

  @Test func noDescriptorOfTheLabReachesACommand() throws {
    let lab = try oneHost(Privilege.possible[0])
    #expect(try lab.shell("h1", "ls /proc/self/fd | tr '\\n' ' '") == "0 1 2 3 ")  // 3: ls reads the directory
  }

  @Test(arguments: Privilege.possible)
  func aTerminalIsItsProcessesControllingTerminalWithTheClientsSize(_ privilege: Privilege) throws {
    let lab = try oneHost(privilege)
    let exec = try TestExec(
      lab, "h1", ["sh", "-c", "stty size < /dev/tty; tty | cut -c 1-9; kill -INT $$"], terminal: true)
    let result = try exec.wait()
    #expect(result.output == "33 99\r\n/dev/pts/\r\n")
    #expect(result.signal == SIGINT)
  }

  @Test func aSignalReachesTheWholeGroup() throws {
    let lab = try oneHost(Privilege.possible[0])
    let exec = try TestExec(lab, "h1", ["sh", "-c", "trap 'exit 9' USR1; sleep 100 & wait"])
    try exec.waitForStart()
    // The trap may not be set yet: USR1 would end the shell, which is a different code.
    try lab.wait("the sleep") { try lab.run("h1", "sh", "-c", "pgrep -g \(exec.started) sleep").code == 0 }
    try exec.signal(SIGUSR1)
    #expect(try exec.wait().code == 9)
  }

  @Test(arguments: [false, true])
  func whenTheClientVanishesItsCommandEnds(_ terminal: Bool) throws {
    let lab = try oneHost(Privilege.possible[0])
    let exec = try TestExec(lab, "h1", ["sh", "-c", "trap '' TERM; sleep 1000"], terminal: terminal)
    try exec.waitForStart()
    exec.vanish()
    try lab.wait("the end of the command") {
      try lab.run("", "sh", "-c", "kill -0 -\(exec.started)").code != 0
    }
  }

  @Test func withoutANodeTheCommandRunsInTheLabsOwnContext() throws {
    let lab = try oneHost(Privilege.possible[0])
    #expect(try lab.shell("", "hostname") == lab.name)
    #expect(try lab.shell("", "ls /proc/1/exe > /dev/null && ip -o link | wc -l") == "1")
  }

  @Test func manyCommandsRunAtOnce() throws {
    let lab = try oneHost(Privilege.possible[0])
    let all = try (0..<20).map { try TestExec(lab, "h1", ["sh", "-c", "sleep 0.2; exit \($0)"]) }
    let start = EventLoop.clock()
    #expect(try all.map { try $0.wait().code } == (0..<20).map { Int32($0) })
    #expect(EventLoop.clock() - start < 3_000_000_000)
  }

  @Test func theControllersCommandsComeBackWithOutputAndEndAtTheirTime() throws {
    let lab = try oneHost(Privilege.possible[0])
    let reply = try lab.order {
      $0.run = .with {
        $0.node = "h1"; $0.argv = ["sh", "-c", "echo out; echo err >&2; exit 3"]
      }
    }
    #expect(reply.exit == 3)
    #expect(String(decoding: reply.output, as: UTF8.self) == "out\n")
    #expect(String(decoding: reply.errorOutput, as: UTF8.self) == "err\n")
    let slow = try lab.order {
      $0.run = .with {
        $0.node = "h1"; $0.argv = ["sh", "-c", "echo begun; sleep 100"]; $0.timeoutMs = 200
      }
    }
    #expect(slow.timedOut)
    #expect(String(decoding: slow.output, as: UTF8.self) == "begun\n")
    #expect(
      try lab.order {
        $0.run = .with {
          $0.node = "h1"; $0.argv = ["no-such-program"]
        }
      }.exit == 127)
    let large = try lab.order {
      $0.run = .with {
        $0.node = "h1"; $0.argv = ["head", "-c", "3000000", "/dev/zero"]
      }
    }
    #expect(large.output.count == 3_000_000)
  }
}
