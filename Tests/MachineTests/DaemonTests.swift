import ControlProtocol
import EventLoop
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Testing

/// Debian's daemons with the user's own files, each asked through its own command line tool in its node.
@Suite(.serialized) struct DaemonTests {
  private func lab(_ kind: String, _ file: String, _ text: String, _ privilege: Privilege = .possible[0]) throws
    -> TestLab
  {
    let lab = try TestLab(privilege)
    try SmallFile.write("\(lab.root)/\(file)", text)
    lab.node("d1", kind) {
      $0.daemon.config = "\(lab.root)/\(file)"
      $0.forwarding = true
    }
    return lab
  }

  private func isInstalled(_ program: String) -> Bool {
    if access(program, X_OK) == 0 { return true }
    print("skipped: \(program) is not installed")
    return false
  }

  @Test(arguments: Privilege.possible)
  func birdRunsWithItsFileAndBirdcReachesIt(_ privilege: Privilege) throws {
    guard isInstalled("/usr/sbin/bird") else { return }
    let lab = try lab(
      "bird", "bird.conf",
      "router id 10.0.0.1;\nprotocol device {}\nprotocol static { ipv4; route 203.0.113.0/24 blackhole; }\n", privilege)
    try lab.start()
    try lab.wait("birdc") { try lab.run("d1", "birdc", "show", "route").output.contains("203.0.113.0/24") }
    #expect(lab.state.error.isEmpty)
  }

  @Test func frrRunsWithOneIntegratedFileAndTakesItAgainAfterACrash() throws {
    guard isInstalled("/usr/lib/frr/bgpd"), geteuid() == 0 else { return print("skipped: needs root and frr") }
    let lab = try lab(
      "frr", "frr.conf",
      """
      ip route 192.0.2.0/24 blackhole
      router bgp 65001
       bgp router-id 10.0.0.9
       neighbor 10.9.0.1 remote-as 65000

      """)
    try lab.start()
    try lab.wait("bgpd's configuration") {
      try lab.run("d1", "vtysh", "-c", "show bgp summary").output.contains("10.9.0.1")
    }
    try lab.wait("zebra's route") { try lab.shell("d1", "ip route").contains("blackhole 192.0.2.0/24") }
    let first = try lab.process("d1", "bgpd")
    kill(first.outerPid, SIGKILL)
    try lab.wait("the restart") {
      let now = try lab.process("d1", "bgpd")
      return now.running && now.pid != first.pid
    }
    try lab.wait("bgpd's configuration") {
      try lab.run("d1", "vtysh", "-c", "show bgp summary").output.contains("10.9.0.1")
    }
    #expect(lab.state.error.isEmpty)
  }

  @Test(arguments: Privilege.possible)
  func gobgpRunsWithItsFile(_ privilege: Privilege) throws {
    guard isInstalled("/usr/bin/gobgpd") else { return }
    let lab = try lab("gobgp", "gobgp.toml", "[global.config]\n  as = 64512\n  router-id = \"10.0.0.3\"\n", privilege)
    try lab.start()
    try lab.wait("gobgp") { try lab.run("d1", "gobgp", "global").output.contains("64512") }
  }

  @Test func openbgpdRunsWithAPrivateCopyAndBgpctlReachesIt() throws {
    guard isInstalled("/usr/sbin/bgpd"), geteuid() == 0 else { return print("skipped: needs root and openbgpd") }
    let lab = try lab(
      "openbgpd", "bgpd.conf", "AS 65010\nrouter-id 10.0.0.4\nfib-update no\nneighbor 10.9.0.1 { remote-as 65000 }\n")
    chmod("\(lab.root)/bgpd.conf", 0o666)  // others may write it: the daemon itself would refuse it
    try lab.start()
    try lab.wait("bgpctl") { try lab.run("d1", "bgpctl", "show").output.contains("10.9.0.1") }
  }

  @Test(arguments: ["frr", "openbgpd"])
  func withoutOtherUsersADaemonThatNeedsOneIsRefusedWithTheCause(_ kind: String) throws {
    guard isInstalled(kind == "frr" ? "/usr/lib/frr/bgpd" : "/usr/sbin/bgpd") else { return }
    let lab = try lab(kind, "daemon.conf", "", .ordinaryUser)
    try lab.start()
    try lab.wait("the error") { !lab.state.error.isEmpty }
    #expect(lab.state.error.hasPrefix("node d1: "))
    #expect(lab.state.error.contains("/etc/subuid"))
  }

  @Test func aMissingFileIsSaid() throws {
    let lab = try lab("bird", "bird.conf", "")
    lab.plan.nodes[0].daemon.config = "\(lab.root)/other.conf"
    try lab.start()
    try lab.wait("the error") { !lab.state.error.isEmpty }
    #expect(lab.state.error == "node d1: \(lab.root)/other.conf: No such file or directory")
  }
}
