import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Testing

@Suite(.serialized) struct FaultTests {
  @Test(arguments: Privilege.possible)
  func aLinkThatComesBackHasItsAddressesRoutesAndNeighbours(_ privilege: Privilege) throws {
    let lab = try fiveNodes(privilege)
    try lab.start()
    let before = try lab.shell("h1", "ip route; ip -6 route show dev eth1 proto kernel; ip neigh show nud permanent")
    #expect(before.contains("10.0.3.0/24 via 10.0.1.2 dev eth1 proto static"))
    #expect(try lab.admin("h1", "eth1", up: false).error.isEmpty)
    #expect(try lab.shell("h1", "ip route") == "")
    #expect(try lab.shell("h1", "ip -o -6 addr show dev eth1").contains("fd00:1::1/64"))
    try lab.wait("the reported state") { lab.state.links.contains { $0.node == "h1" && !$0.link.up } }
    #expect(try lab.admin("h1", "eth1", up: true).error.isEmpty)
    #expect(
      try lab.shell("h1", "ip route; ip -6 route show dev eth1 proto kernel; ip neigh show nud permanent") == before)
    try lab.wait("the reported state") { lab.state.links.allSatisfy { $0.link.up } }
  }

  @Test func routesOfAHostComeBackAlsoWhenSomebodyElseSetsItsLink() throws {
    let lab = try fiveNodes(Privilege.possible[0])
    try lab.start()
    _ = try lab.shell("h1", "ip link set eth1 down; ip link set eth1 up")
    try lab.wait("the route") { try lab.shell("h1", "ip route").contains("10.0.3.0/24 via 10.0.1.2") }
  }

  @Test func anInterfaceThatDoesNotExistIsSaid() throws {
    let lab = try fiveNodes(Privilege.possible[0])
    try lab.start()
    #expect(try lab.admin("h1", "eth9", up: false).error == "node h1 has no interface eth9")
    #expect(try lab.admin("h9", "eth1", up: false).error == "there is no node h9")
    #expect(
      try lab.order {
        $0.kill = .with {
          $0.node = "h1"; $0.process = "cmd7"; $0.signal = 9
        }
      }.error
        == "node h1 runs no cmd7")
  }

  @Test(arguments: Privilege.possible)
  func aNodeThatIsSwitchedOffHasNoProcessesAndNoLinksAndComesBackWhole(_ privilege: Privilege) throws {
    let lab = try fiveNodes(privilege)
    lab.plan.nodes[0].commands = ["exec sleep 1000"]
    try lab.start()
    try lab.wait("the server") { lab.state.processes.contains { $0.node == "h1" && $0.running } }
    let stray = try TestExec(lab, "h1", ["sh", "-c", "setsid sleep 1000"])
    try stray.waitForStart()
    let server = try lab.process("h1", "cmd1")
    let standing = try lab.nodeState("h1").outerPid
    #expect(try lab.power("h1", on: false).error.isEmpty)
    #expect(try stray.wait().signal == SIGKILL)
    try lab.wait("the reported state") { try lab.nodeState("h1").state == "stopped" }
    for pid in [server.outerPid, standing] {
      try lab.wait("the end of \(pid)") { kill(pid, 0) != 0 }
    }
    #expect(try lab.shell("r1", "cat /sys/class/net/eth1/carrier") == "0")
    #expect(try lab.run("h1", "true").error == "node h1 is switched off")
    #expect(try lab.power("h1", on: true).error.isEmpty)
    try lab.wait("the server") {
      try lab.nodeState("h1").state == "running" && lab.state.processes.contains { $0.node == "h1" && $0.running }
    }
    #expect(try lab.nodeState("h1").outerPid > 0)
    #expect(try lab.shell("h1", "ip route").contains("10.0.3.0/24 via 10.0.1.2"))
    #expect(try lab.shell("r1", "cat /sys/class/net/eth1/carrier") == "1")
  }
}

extension TestLab {
  func admin(_ node: String, _ interface: String, up: Bool) throws -> NLMachineReply {
    try order { $0.linkAdmin = .with { ($0.node, $0.interface, $0.up) = (node, interface, up) } }
  }

  func power(_ node: String, on: Bool) throws -> NLMachineReply {
    try order { $0.power = .with { ($0.node, $0.on) = (node, on) } }
  }
}
