import BGPCore
import BGPWire
import EventLoop
import Glibc
import NetTypes
import Testing

@testable import BGPSpeaker

/// Flow rules to and from GoBGP (Debian package gobgpd), over the loopback interface.
///
///     Speaker 1, AS 64501, 127.0.1.1 ◄──── TCP ────► gobgpd, AS 64509, 127.0.9.1
@Suite(.enabled(if: GoBGP.isInstalled, "needs gobgpd and gobgp"), .serialized)
struct FlowSpecInteropTests {
  private func rule(_ octets: [UInt8], _ family: AddressFamily = .ipv4) throws -> FlowRule {
    try FlowRule(decoding: octets, family)
  }

  @Test("GoBGP's rules are read as it meant them, and ours are read by it as we meant them")
  func bothWays() throws {
    let harness = try SpeakerHarness()
    let speaker = try harness.speaker(1)
    var peer = PeerSettings(
      name: "gobgp", session: "gobgp", asn: ASNumber(64509), address: .v4(IPv4Address(127, 0, 9, 1)))
    peer.relation = .open
    peer.nextHopIPv4 = IPv4Address(10, 0, 0, 1)
    peer.nextHopIPv6 = IPv6Address(high: 0x2001_0DB8_0000_0000, low: 1)
    var neighbor = NeighborConfiguration(peer: peer)
    neighbor.families = .all
    neighbor.transport.isPassive = true
    var configuration = harness.configuration(1, neighbors: [neighbor])
    var limit = FlowActions()
    limit.rateBytes = 125_000
    limit.dscp = 8
    var drop = FlowActions()
    drop.rateBytes = 0
    let ours = try rule([1, 24, 198, 51, 100, 3, 0x81, 17, 5, 0x03, 0x64, 0x45, 0xC8, 0x91, 0x1F, 0x90])
    let ours6 = try rule([1, 32, 0, 0x20, 1, 0x0D, 0xB8, 9, 0x81, 2, 12, 0x80, 2], .ipv6)
    configuration.table.flowRules = [OriginatedFlowRule(ours, limit), OriginatedFlowRule(ours6, drop)]
    try speaker.apply(configuration)

    let gobgp = try GoBGP(speakerPort: try #require(harness.ports[1]))
    defer { gobgp.end() }
    #expect(try harness.run { speaker.states == [.established] }, "\(harness.events)")
    let added = [
      "-a ipv4 203.0.113.0/24 nexthop 10.0.0.9", "-a ipv6 2001:db8:113::/48 nexthop 2001:db8::9",
      "-a ipv4-flowspec match destination 203.0.113.0/24 source 10.0.0.0/8 protocol '==udp' "
        + "destination-port '>=1000&<=2000 ==53' then discard",
      "-a ipv4-flowspec match destination 203.0.113.7/32 tcp-flags '=SA' packet-length '>1024' fragment is-fragment "
        + "then rate-limit 125000 mark 46",
      "-a ipv6-flowspec match destination 2001:db8:113::/48 protocol '==tcp' port '==80' then discard",
    ].map { gobgp.run("global rib add \($0)") }
    #expect(added == Array(repeating: "", count: added.count))
    #expect(try harness.run { (speaker.activeFlowSpecs ?? []).count == 5 }, "\(speaker.flowSpecs())")

    let texts = (speaker.activeFlowSpecs ?? []).map { "\($0.rule) → \($0.actions.texts.joined(separator: ", "))" }
    #expect(
      texts == [
        "destination 198.51.100.0/24 protocol 17 destination-port 100-200,8080 → rate 125000 bytes/s, mark dscp 8",
        "destination 203.0.113.7/32 tcp-flags (syn+ack) length 1025-65535 fragment is-fragment "
          + "→ rate 125000 bytes/s, mark dscp 46",
        "destination 203.0.113.0/24 source 10.0.0.0/8 protocol 17 destination-port 53,1000-2000 → drop",
        "destination 2001:db8:113::/48 protocol 6 port 80 → drop",
        "destination 2001:db8::/32 tcp-flags syn fragment is-fragment → drop",
      ])

    let seen = gobgp.run("global rib -a ipv4-flowspec")
    #expect(
      seen.contains("[destination: 198.51.100.0/24][protocol: ==udp][destination-port: >=100&<=200 ==8080]"), "\(seen)")
    #expect(seen.contains("{Extcomms: [rate: 125000.000000(as: 64501)], [remark: 8]}"), "\(seen)")
    let seen6 = gobgp.run("global rib -a ipv6-flowspec")
    #expect(seen6.contains("[destination: 2001:db8::/32/0][tcp-flags: =S][fragment: is-fragment]"), "\(seen6)")
    #expect(seen6.contains("[discard"), "\(seen6)")

    #expect(
      gobgp.run(
        "global rib del -a ipv6-flowspec match destination 2001:db8:113::/48 protocol '==tcp' port '==80' then discard")
        == "")
    configuration.table.flowRules.removeLast()
    try speaker.apply(configuration)
    #expect(try harness.run { (speaker.activeFlowSpecs ?? []).count == 3 })
    #expect(try harness.run { gobgp.run("global rib -a ipv6-flowspec").contains("not in table") })
  }
}

/// gobgpd as a child process, and its command-line client.
private final class GoBGP {
  static let isInstalled = access("/usr/bin/gobgpd", X_OK) == 0 && access("/usr/bin/gobgp", X_OK) == 0

  private let pid: pid_t
  private let directory: String
  /// Of its gRPC server: one that is free now.
  private let port: UInt16

  init(speakerPort: UInt16) throws {
    var template = Array("/tmp/netloom-gobgp-XXXXXX".utf8CString)
    directory = try #require(mkdtemp(&template).map { String(cString: $0) })
    let probe = try TCPSocket.listen(.v4(IPv4Address(127, 0, 0, 1)), port: 0)
    port = try #require(TCPSocket.local(probe.rawValue)?.port)
    let families = ["ipv4-unicast", "ipv6-unicast", "ipv4-flowspec", "ipv6-flowspec"].map {
      """
          [[neighbors.afi-safis]]
            [neighbors.afi-safis.config]
              afi-safi-name = "\($0)"
      """
    }
    let text = """
      [global.config]
        as = 64509
        router-id = "10.0.0.9"
        port = -1
      [[neighbors]]
        [neighbors.config]
          neighbor-address = "127.0.1.1"
          peer-as = 64501
        [neighbors.transport.config]
          local-address = "127.0.9.1"
          remote-port = \(speakerPort)
        [neighbors.timers.config]
          connect-retry = 1
      \(families.joined(separator: "\n"))

      """
    let path = directory + "/gobgpd.toml"
    let file = try #require(fopen(path, "w"))
    fputs(text, file)
    fclose(file)
    let words = ["gobgpd", "-f", path, "--api-hosts", "127.0.0.1:\(port)", "-p"]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
    defer { for argument in arguments { free(argument) } }
    arguments.append(nil)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in 1...2 as ClosedRange<Int32> {
      posix_spawn_file_actions_addopen(
        &actions, descriptor, directory + "/log", O_WRONLY | O_CREAT | O_APPEND, 0o600)
    }
    var child: pid_t = 0
    try #require(posix_spawn(&child, "/usr/bin/gobgpd", &actions, nil, arguments, environ) == 0)
    pid = child
  }

  /// What the client prints, errors included.
  func run(_ command: String) -> String {
    guard let pipe = popen("gobgp -u 127.0.0.1 -p \(port) \(command) 2>&1", "r") else { return "popen" }
    defer { pclose(pipe) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { bytes += chunk[..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }

  func end() {
    kill(pid, SIGKILL)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    for name in ["/gobgpd.toml", "/log"] { unlink(directory + name) }
    rmdir(directory)
  }
}
