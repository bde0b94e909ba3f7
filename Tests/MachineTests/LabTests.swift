import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Testing

/// h1 ─1─ r1 ─2─ r2 ─3─ sw ─4─ h2: a host, two routers with agents, a switch, a host.
func fiveNodes(_ privilege: Privilege) throws -> TestLab {
  let lab = try TestLab(privilege)
  lab.node("h1") {
    $0.routes = [route([10, 0, 3, 0], 24, via: [10, 0, 1, 2]), route([10, 0, 2, 0], 24, via: [10, 0, 1, 2])]
  }
  for name in ["r1", "r2"] {
    lab.node(name, "router") {
      ($0.agent, $0.listener, $0.forwarding) = (true, true, true)
      $0.loopbacks = [
        .with {
          $0.address = Data([10, 255, 0, name == "r1" ? 1 : 2]); $0.length = 32
        }
      ]
      $0.sysctls = ["net.ipv4.conf.all.log_martians": "1"]
    }
  }
  lab.node("sw", "switch")
  lab.node("h2") { $0.routes = [route([10, 0, 1, 0], 24, via: [10, 0, 3, 1])] }
  lab.link(1, ("h1", "eth1", 2), ("r1", "eth1", 2))
  lab.link(2, ("r1", "eth2", 3), ("r2", "eth1", 2))
  lab.link(3, ("r2", "eth2", 3), ("sw", "p1", 2), addressed: [true, false])
  lab.link(3, ("sw", "p2", 3), ("h2", "eth1", 2), addressed: [false, true])
  lab.plan.links[2].b.mac = Data([2, 0, 0, 0, 4, 1])  // ports must not share a MAC with a station
  lab.plan.links[3].a.mac = Data([2, 0, 0, 0, 4, 2])
  return lab
}

func route(_ prefix: [UInt8], _ length: UInt32, via gateway: [UInt8]) -> NLRoute {
  .with {
    $0.prefix = .with {
      $0.address = Data(prefix); $0.length = length
    }
    $0.nextHops = [.with { $0.gateway = Data(gateway) }]
  }
}

@Suite(.serialized) struct LabTests {
  @Test(arguments: Privilege.possible)
  func everyNodeHasTheNamespaceAddressesAndNeighboursOfItsPlan(_ privilege: Privilege) throws {
    let lab = try fiveNodes(privilege)
    try lab.start()
    for (node, interface, addresses) in [
      ("h1", "eth1", ["10.0.1.1/24", "fd00:1::1/64"]), ("r1", "eth1", ["10.0.1.2/24", "fd00:1::2/64"]),
      ("r1", "lo", ["10.255.0.1/32"]), ("h2", "eth1", ["10.0.3.2/24", "fd00:3::2/64"]),
    ] {
      let shown = try lab.shell(node, "ip -o addr show dev \(interface)")
      for address in addresses { #expect(shown.contains(" \(address) "), "\(node) \(interface): \(shown)") }
      // A link-local address leaves the state in a worker of the kernel's, without waiting for anybody.
      let own = shown.split(separator: "\n").filter { !$0.contains("scope link") }
      #expect(!own.contains { $0.contains("tentative") })
    }
    #expect(try lab.shell("r1", "ip -o link show eth2").hasPrefix("3: eth2@"))
    #expect(try lab.shell("r1", "cat /sys/class/net/eth2/address") == "02:00:00:00:02:01")
    let neighbours = try lab.shell("h1", "ip neigh show nud permanent")
    #expect(neighbours.contains("10.0.1.2 dev eth1 lladdr 02:00:00:00:01:02 PERMANENT"))
    #expect(neighbours.contains("fd00:1::2 dev eth1 lladdr 02:00:00:00:01:02"))
    #expect(try lab.shell("sw", "ip -o link show master br0 | wc -l") == "2")
    for name in ["h1", "r1", "r2", "sw", "h2"] {
      let inside = try lab.shell(name, "stat -Lc %i /proc/self/ns/net")
      let outside = try lab.nodeState(name).outerPid
      var status = stat()
      #expect(stat("/proc/\(outside)/ns/net", &status) == 0)
      #expect("\(status.st_ino)" == inside)
    }
    #expect(Set(lab.state.nodes.map(\.outerPid)).count == 5)
  }

  @Test(arguments: Privilege.possible)
  func packetsCrossSwitchAndRoutersAtOnce(_ privilege: Privilege) throws {
    let lab = try fiveNodes(privilege)
    try lab.start()
    _ = try lab.shell("r1", "ip route add 10.0.3.0/24 via 10.0.2.2")
    _ = try lab.shell("r2", "ip route add 10.0.1.0/24 via 10.0.2.1")
    let ping = try lab.shell("h1", "ping -c 1 -W 2 10.0.3.2")
    #expect(ping.contains("ttl=253"))  // 255 less two routers
    #expect(try lab.shell("r2", "ping -c 1 -W 2 fd00:3::2").contains("ttl=255"))
  }

  @Test(arguments: Privilege.possible)
  func sysctlsOfThePlanAndTheLabsOwnAreInForce(_ privilege: Privilege) throws {
    let lab = try fiveNodes(privilege)
    try lab.start()
    for (node, name, value) in [
      ("h1", "net/ipv4/ip_forward", "0"), ("r1", "net/ipv4/ip_forward", "1"),
      ("r1", "net/ipv6/conf/all/forwarding", "1"),
      ("h1", "net/ipv4/conf/eth1/rp_filter", "0"), ("h1", "net/ipv4/conf/all/rp_filter", "0"),
      ("r1", "net/ipv4/conf/all/log_martians", "1"), ("h1", "net/ipv6/conf/eth1/hop_limit", "255"),
      ("h1", "net/ipv6/conf/eth1/accept_ra", "0"),
    ] {
      #expect(try lab.shell(node, "cat /proc/sys/\(name)") == value, "\(node) \(name)")
    }
  }

  @Test(arguments: Privilege.possible)
  func aNodeHasItsOwnHostnameHostsAndRunButTheLabsDirectoryStaysInReach(_ privilege: Privilege) throws {
    let lab = try fiveNodes(privilege)
    try lab.start()
    #expect(try lab.shell("h1", "hostname") == "h1")
    #expect(try lab.shell("h2", "hostname") == "h2")
    #expect(try lab.shell("h1", "getent hosts h2").hasPrefix("10.0.1.2"))
    _ = try lab.shell("h1", "echo mine > /run/mark")
    #expect(try lab.run("h2", "/bin/cat", "/run/mark").code == 1)
    #expect(try lab.shell("h2", "test -S \(lab.directory.machineSocket) && echo there") == "there")
    #expect(try lab.shell("h1", "ls /sys/class/net | tr '\\n' ' '") == "eth1 lo ")
  }

  @Test func asRootTheNamespacesHaveNamesForIpNetns() throws {
    guard geteuid() == 0 else { return print("skipped: needs root") }
    let lab = try fiveNodes(.root)
    try lab.start()
    var status = stat()
    #expect(stat("/run/netns/\(lab.name).r1", &status) == 0)
    #expect(try lab.shell("r1", "stat -Lc %i /proc/self/ns/net") == "\(status.st_ino)")
  }

  @Test func portIn179WaitsBeforeAndBetweenSpeakersAndTheRestartedOneIsToldSo() throws {
    let lab = try fiveNodes(Privilege.possible[0])
    try lab.start()
    let first = try lab.process("r1", "agent")
    try lab.wait("its log") { lab.log("r1").contains("--node r1 --listen ") }
    // The stand-in never accepts: the kernel answers for the open listener.
    let connect = "exec 3<>/dev/tcp/10.0.1.2/179 && echo connected"
    #expect(try lab.run("h1", "/bin/bash", "-c", connect).output == "connected\n")
    kill(first.outerPid, SIGKILL)
    try lab.wait("the agent's restart") {
      let now = try lab.process("r1", "agent")
      return now.running && now.pid != first.pid
    }
    #expect(try lab.run("h1", "/bin/bash", "-c", connect).output == "connected\n")
    try lab.wait("its log") { lab.log("r1").contains("--restarted") }
    #expect(try lab.process("r1", "agent").restarts == 1)
    #expect(try lab.process("r1", "agent").lastExit.hasPrefix("signal 9"))
  }
}
