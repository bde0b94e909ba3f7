import ContainerlabImport
import NetTypes
import Testing
import Topology

@Test func aNodeInheritsFromDefaultsItsKindItsGroupAndItselfInThatOrder() throws {
  let result = try imported(
    """
    name: t
    topology:
      defaults:
        kind: linux
        env: {A: defaults, B: defaults, C: defaults, D: defaults}
        exec: [echo defaults]
        cmd: serve defaults
      kinds:
        linux:
          env: {B: kind, C: kind, D: kind}
          exec: [echo kind]
          cmd: serve kind
      groups:
        g:
          env: {C: group, D: group}
          exec: [echo group]
      nodes:
        a: {group: g, env: {D: node}, exec: [echo node]}
        b:
    """)
  #expect(result.lab.node("a")?.environment == ["A=defaults", "B=kind", "C=group", "D=node"])
  #expect(result.exec("a") == ["echo defaults", "echo kind", "echo group", "echo node"])
  #expect(result.lab.node("a")?.commands == ["serve kind"])
  #expect(result.lab.node("b")?.environment == ["A=defaults", "B=kind", "C=kind", "D=kind"])
}

@Test func theKindMayComeFromTheGroup() throws {
  let result = try imported(
    "name: t\ntopology: {groups: {g: {kind: bridge}}, nodes: {b: {group: g}, h: {kind: linux}}}")
  #expect(result.lab.nodes.map(\.kind) == [.switch, .host])
}

@Test func namesAreMadeToFitAndNoneIsGivenTwice() throws {
  let long = String(repeating: "x", count: 40)
  let result = try imported(
    """
    name: My_Lab
    topology:
      nodes:
        R.1: {kind: linux}
        r-1: {kind: linux}
        R_1: {kind: linux}
        \(long): {kind: linux}
        \(long)2: {kind: linux}
        localhost: {kind: linux}
        no: {kind: linux}
      links: [{endpoints: ["R.1:eth1", "R_1:eth1"]}]
    """)
  #expect(result.lab.name == "my-lab")
  // What fits keeps its name, wherever it stands.
  #expect(
    result.lab.nodes.map(\.name) == [
      "r-1-2", "r-1", "r-1-3", String(repeating: "x", count: 32), String(repeating: "x", count: 30) + "-2",
      "localhost-node", "no",
    ])
  #expect(result.lab.links.map { [$0.a.name, $0.b.name] } == [["r-1-2:eth1", "r-1-3:eth1"]])
  #expect(result.changes.filter { $0.contains(" here") }.count == 6)
}

@Test func keysWithoutMeaningAreLeftOutWithAReasonEach() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes:
        a:
          kind: linux
          mgmt-ipv4: 172.20.20.2
          memory: 1Gb
          position: left
          sysctls: {net.ipv4.ip_default_ttl: 200, kernel.hostname: x}
          ports: [127.0.0.1:8080:80/tcp, 53:53/udp, 9000-9001:9000-9001, "8080:81"]
          labels: {site: west, "graph-icon": x, empty: ~}
          env: {"BAD-NAME": 1, GOOD: 2}
          something-new: 1
    """)
  let node = try #require(result.lab.node("a"))
  #expect(node.sysctls["net.ipv4.ip_default_ttl"] == "200" && node.sysctls["kernel.hostname"] == nil)
  #expect(node.functions.published.map(\.outer) == [8080])
  #expect(node.labels == ["site": "west", "graph-icon": "x", "empty": ""])
  #expect(node.environment == ["GOOD=2"])
  let places = result.lost.map { $0.prefix { $0 != " " } }
  #expect(places == ["6:7:", "7:7:", "9:47:", "10:38:", "10:49:", "10:70:", "12:13:", "13:7:"], "\(result.lost)")
}

@Test func nodesOfOtherKindsGoWithTheirLinks() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes:
        a: {kind: linux}
        s: {kind: nokia_srlinux}
        c: {kind: linux, network-mode: "container:a"}
      links:
        - endpoints: ["a:eth1", "s:e1-1"]
        - endpoints: ["a:eth2", "c:eth1"]
        - endpoints: ["s:e1-2", "c:eth2"]
    """)
  #expect(result.lab.nodes.map(\.name) == ["a"])
  #expect(result.lab.links.isEmpty)
  #expect(result.lost.count == 5, "\(result.lost)")
}

@Test(arguments: [
  ("quay.io/frrouting/frr:10.1", "/etc/frr/frr.conf", NodeKind.frr),
  ("alpine", "/etc/frr/frr.conf", .frr),
  ("localhost:5000/my-bird:2", "/etc/bird/bird.conf", .bird),
  ("alpine", "/usr/local/etc/bird.conf", .bird),
  ("openbgpd/openbgpd", "/etc/bgpd.conf", .openbgpd),
  // A folder in the place of /etc/frr.
  ("frrouting/frr", "/etc/frr", .frr),
  // Told by the image where the file is not in its usual place.
  ("pierky/bird@sha256:00", "/configs/bird.conf", .bird),
])
func aDaemonIsSeenByItsImageOrItsBinds(image: String, target: String, kind: NodeKind) throws {
  let source = target == "/etc/frr" ? "conf" : "conf/frr.conf"
  let result = try imported(
    "name: t\ntopology: {nodes: {r: {kind: linux, image: \"\(image)\", binds: [\"\(source):\(target)\"]}}}",
    files: ["conf/frr.conf": ""])
  #expect(result.lab.node("r")?.kind == kind)
  #expect(result.lab.node("r")?.config?.hasSuffix("/conf/frr.conf") == true)
  #expect(result.lost.isEmpty, "\(result.lost)")
}

@Test(arguments: ["hub/freebird-tools", "firrigation", "bgpdump", "nginx:frr"])
func anImageOfAnotherNameIsNoDaemon(image: String) throws {
  let result = try imported("name: t\ntopology: {nodes: {r: {kind: linux, image: \"\(image)\"}}}")
  #expect(result.lab.node("r")?.kind == .host)
}

@Test func aDaemonWithoutItsFileIsARouterAndThatIsSaid() throws {
  let result = try imported(
    """
    name: t
    topology: {nodes: {r: {kind: linux, image: frrouting/frr, exec: [vtysh -c 'show run', "touch /etc/frr/vtysh.conf"]}}}
    """)
  #expect(result.lab.node("r")?.kind == .router)
  #expect(result.exec("r").isEmpty)
  #expect(result.lost.count == 3, "\(result.lost)")
}

@Test func whatOfADaemonIsNotStartedIsSaid() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes:
        r:
          kind: linux
          image: frrouting/frr
          binds: [daemons:/etc/frr/daemons, frr.conf:/etc/frr/frr.conf, vtysh.conf:/etc/frr/vtysh.conf]
          exec: [/usr/lib/frr/frrinit.sh start, service frr restart]
    """,
    files: [
      "daemons": "bgpd=yes\nospfd = yes\n#isisd=yes\nripd=no\nvtysh_enable=yes\n", "vtysh.conf": "",
      "frr.conf": "router ospf\nrouter bgp 65001\nrouter bgp 65002 vrf red\n",
    ])
  #expect(result.lab.node("r")?.asn?.rawValue == 65001)
  #expect(result.exec("r").isEmpty)
  let lost = result.findings.filter { $0.kind == .leftOut }
  #expect(lost.map { $0.place.file.split(separator: "/").last.map { "\($0)" } } == ["daemons", "frr.conf"])
  #expect(lost.map(\.place.line) == [2, 1])
}

@Test func aContainerWithSeveralLinksForwardsUnlessItIsToldNotTo() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes:
        one: {kind: linux}
        two: {kind: linux}
        not: {kind: linux, exec: [sysctl -w net.ipv4.ip_forward=0]}
        yes: {kind: linux, sysctls: {net.ipv6.conf.all.forwarding: 1}}
      links:
        - endpoints: ["one:eth1", "two:eth1"]
        - endpoints: ["two:eth2", "not:eth1"]
        - endpoints: ["not:eth2", "yes:eth1"]
    """)
  #expect(result.lab.nodes.map(\.kind) == [.host, .router, .host, .router])
}
