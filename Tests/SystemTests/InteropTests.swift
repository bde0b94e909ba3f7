import Foundation
import Testing

/// `netloom speaker` against the real daemons of Debian: IPv4 and IPv6 sessions, routes both ways, a policy, a withdraw.
///
///     speaker (host, runs netloom speaker) ──── peer (bird | frr | gobgp | openbgpd with its own file)
///     10.9.0.1, 2001:db8:9::1                   10.9.0.2, 2001:db8:9::2
///     announces 192.0.2.0/24 and 198.51.100.0/24, the second rejected by policy towards the peer
@Suite(.serialized) struct InteropTests {
  struct Daemon: CustomTestStringConvertible, Sendable {
    var kind: String
    var config: String
    /// Extra keys of the node.
    var node = ""
    /// Prints the daemon's view of a prefix, AS path included; empty or failing when it has none.
    var show: @Sendable (String) -> String
    var testDescription: String { kind }
  }

  static let daemons = [
    Daemon(
      kind: "bird",
      config: """
        router id 10.9.0.2;
        protocol device {}
        protocol static s4 { ipv4; route 203.0.113.0/24 unreachable; }
        protocol static s6 { ipv6; route 2001:db8:b::/48 unreachable; }
        template bgp t { local as 65002; connect delay time 1; connect retry time 1; error wait time 1, 2; }
        protocol bgp v4 from t { neighbor 10.9.0.1 as 65001; ipv4 { import all; export where source = RTS_STATIC; }; }
        protocol bgp v6 from t { neighbor 2001:db8:9::1 as 65001; ipv6 { import all; export where source = RTS_STATIC; }; }

        """,
      show: { "birdc -r show route all for \($0) | grep -i as_path" }),
    Daemon(
      kind: "frr",
      config: """
        router bgp 65002
         bgp router-id 10.9.0.2
         no bgp ebgp-requires-policy
         no bgp network import-check
         no bgp default ipv4-unicast
         neighbor 10.9.0.1 remote-as 65001
         neighbor 10.9.0.1 timers connect 1
         neighbor 2001:db8:9::1 remote-as 65001
         neighbor 2001:db8:9::1 timers connect 1
         address-family ipv4 unicast
          network 203.0.113.0/24
          neighbor 10.9.0.1 activate
         exit-address-family
         address-family ipv6 unicast
          network 2001:db8:b::/48
          neighbor 2001:db8:9::1 activate
         exit-address-family

        """,
      show: { "vtysh -c 'show bgp \($0.contains(":") ? "ipv6" : "ipv4") unicast \($0)' | grep 65001" }),
    Daemon(
      kind: "gobgp",
      config: """
        [global.config]
          as = 65002
          router-id = "10.9.0.2"
        [[neighbors]]
          [neighbors.config]
            neighbor-address = "10.9.0.1"
            peer-as = 65001
          [neighbors.timers.config]
            connect-retry = 1
            idle-hold-time-after-reset = 1
          [[neighbors.afi-safis]]
            [neighbors.afi-safis.config]
              afi-safi-name = "ipv4-unicast"
        [[neighbors]]
          [neighbors.config]
            neighbor-address = "2001:db8:9::1"
            peer-as = 65001
          [neighbors.timers.config]
            connect-retry = 1
            idle-hold-time-after-reset = 1
          [[neighbors.afi-safis]]
            [neighbors.afi-safis.config]
              afi-safi-name = "ipv6-unicast"

        """,
      node: """
        , cmd: ["until gobgp global rib add 203.0.113.0/24 && gobgp global rib add -a ipv6 2001:db8:b::/48; do sleep 0.1; done; exec sleep 1000"]
        """,
      show: { "gobgp global rib \($0) \($0.contains(":") ? "-a ipv6" : "") | grep 65001" }),
    Daemon(
      kind: "openbgpd",
      config: """
        AS 65002
        router-id 10.9.0.2
        fib-update no
        network 203.0.113.0/24
        network 2001:db8:b::/48
        neighbor 10.9.0.1 {
          remote-as 65001
          announce IPv4 unicast
          announce IPv6 none
        }
        neighbor 2001:db8:9::1 {
          remote-as 65001
          announce IPv4 none
          announce IPv6 unicast
        }
        allow from any
        allow to any

        """,
      show: { "bgpctl show rib \($0) | grep 65001" }),
  ]

  private func speakerFile(networks: String) -> String {
    """
    asn: 65001
    router-id: 10.9.0.1
    fib: true
    networks: [\(networks)]
    policies:
      public-only: [{match: {prefix: [198.51.100.0/24]}, then: reject}, {set: {prepend: 1}}]
    neighbors:
      - {name: four, address: 10.9.0.2, asn: 65002, families: [ipv4], import: accept, export: public-only}
      - {name: six, address: "2001:db8:9::2", asn: 65002, families: [ipv6], import: accept, export: accept}

    """
  }

  @Test("holds IPv4 and IPv6 sessions, routes go both ways, a policy and a withdraw take effect", arguments: daemons)
  func daemon(daemon: Daemon) throws {
    let bench = try Bench()
    let lab = "it-\(daemon.kind)-\(getpid())"
    _ = try bench.file("peer.conf", daemon.config)
    let file = try bench.file(
      "speaker.yaml", speakerFile(networks: "192.0.2.0/24, 198.51.100.0/24, 2001:db8:a::/48"))
    _ = try bench.up(
      lab,
      """
      topology:
        nodes:
          speaker: {kind: host, cmd: ["exec \(Command.netloom) speaker \(file)"]}
          peer: {kind: \(daemon.kind), asn: 65002, config: peer.conf\(daemon.node)}
        links:
          - endpoints: ["speaker:eth1", "peer:eth1"]
            addresses: [[10.9.0.1/24, "2001:db8:9::1/64"], [10.9.0.2/24, "2001:db8:9::2/64"]]

      """)
    let exec = { (node: String, text: String) in
      try bench.netloom(["exec", "--lab", lab, node, "--", "sh", "-c", text])
    }
    let log = { (try? exec("peer", "true").errors) ?? "" }
    // Towards us: the daemon's prefixes in our kernel.
    #expect(
      try bench.eventually(30) { try exec("speaker", "ip route show 203.0.113.0/24").output.contains("via 10.9.0.2") },
      "\(log())")
    #expect(
      try bench.eventually(30) {
        try exec("speaker", "ip -6 route show 2001:db8:b::/48").output.contains("via 2001:db8:9::2")
      },
      "\(log())")
    // Towards the daemon: what the policy lets out, prepended once, and nothing else.
    let path = #"65001[ ,]+65001"#
    #expect(
      try bench.eventually(30) {
        try exec("peer", daemon.show("192.0.2.0/24")).output.range(of: path, options: .regularExpression) != nil
      }, "\((try? exec("peer", daemon.show("192.0.2.0/24")).output) ?? "")")
    #expect(try bench.eventually(30) { try exec("peer", daemon.show("2001:db8:a::/48")).output.contains("65001") })
    #expect(try !exec("peer", daemon.show("198.51.100.0/24")).output.contains("65001"))
    // Withdraw: the file without the prefix, read again on SIGHUP.
    _ = try bench.file("speaker.yaml", speakerFile(networks: "198.51.100.0/24, 2001:db8:a::/48"))
    #expect(try exec("speaker", "kill -HUP $(pidof netloom-node)").exit == 0)
    #expect(try bench.eventually(30) { try !exec("peer", daemon.show("192.0.2.0/24")).output.contains("65001") })
    #expect(try exec("peer", daemon.show("2001:db8:a::/48")).output.contains("65001"), "the rest stays")
  }

  @Test("ExaBGP injects routes with attributes of every kind and takes them back")
  func exabgp() throws {
    let bench = try Bench()
    let lab = "it-exabgp-\(getpid())"
    let file = try bench.file("speaker.yaml", speakerFile(networks: "192.0.2.0/24"))
    let control = "\(bench.directory)/control"
    #expect(try Command.run("mkfifo", [control]).exit == 0)
    let config = try bench.file(
      "exabgp.conf",
      """
      process injector { run /bin/cat \(control); encoder text; }
      neighbor 10.9.0.1 {
        router-id 10.9.0.2; local-address 10.9.0.2; local-as 65002; peer-as 65001;
        family { ipv4 unicast; }
        api { processes [ injector ]; }
        static {
          route 203.0.113.0/25 next-hop 10.9.0.2 as-path [ 65002 64511 ] med 5 community [ 65002:1 ] large-community [ 65002:1:2 ];
          route 203.0.113.128/25 next-hop 10.9.0.2 attribute [ 0x99 0xc0 0x0102 ];
        }
      }

      """)
    _ = try bench.up(
      lab,
      """
      topology:
        nodes:
          speaker: {kind: host, cmd: ["exec \(Command.netloom) speaker \(file)"]}
          peer: {kind: host, cmd: ["exec env exabgp.daemon.user=root exabgp.tcp.bind='' exabgp \(config)"]}
        links:
          - {endpoints: ["speaker:eth1", "peer:eth1"], addresses: [[10.9.0.1/24], [10.9.0.2/24]]}

      """)
    let routes = {
      try bench.netloom(["exec", "--lab", lab, "speaker", "--", "ip", "route", "show", "proto", "bgp"]).output
    }
    #expect(
      try bench.eventually(30) { try routes().contains("203.0.113.0/25") && routes().contains("203.0.113.128/25") })
    let writer = try #require(FileHandle(forWritingAtPath: control))
    try writer.write(contentsOf: Data("withdraw route 203.0.113.0/25 next-hop 10.9.0.2\n".utf8))
    #expect(
      try bench.eventually(30) { try !routes().contains("203.0.113.0/25") && routes().contains("203.0.113.128/25") })
    try writer.close()
  }
}
