import ContainerlabImport
import Foundation
import NetTypes
import Testing
import Topology

/// A lab of one node with these commands, one neighbor and one link.
private func lab(exec: [String], files: [String: String] = [:], binds: [String] = []) throws -> ImportedTopology {
  func quoted(_ items: [String]) -> String {
    items.map { "'" + $0.replacing("'", with: "''") + "'" }.joined(separator: ", ")
  }
  return try imported(
    """
    name: t
    topology:
      nodes:
        a: {kind: linux, exec: [\(quoted(exec))], binds: [\(quoted(binds))]}
        b: {kind: linux}
      links: [{endpoints: ["a:eth1", "b:eth1"]}]
    """, files: files)
}

/// What iproute2 and busybox make of a command in a namespace of its own: addresses of eth1 and routes by a gateway.
private func kernel(_ commands: [String]) throws -> [String] {
  let script =
    (["ip link add eth1 type veth peer name p1", "ip link set p1 up", "ip link set lo up", "ip link set eth1 up"]
    + commands + ["ip -o address show dev eth1; ip -4 route; ip -6 route"]).joined(separator: " && ")
  let text = try output(of: "/usr/bin/unshare", ["--net", "/bin/sh", "-c", script])
  return text.split(separator: "\n").compactMap { line in
    let words = line.split(separator: " ").map(String.init)
    if let index = words.firstIndex(where: { $0 == "inet" || $0 == "inet6" }), index + 1 < words.count {
      return words[index + 1].hasPrefix("fe80:") ? nil : words[index + 1]
    }
    guard words.count > 2, words[1] == "via" else { return nil }
    let to = words[0] == "default" ? (words[2].contains(":") ? "::/0" : "0.0.0.0/0") : words[0]
    let length = to.contains("/") ? "" : to.contains(":") ? "/128" : "/32"
    return "\(to)\(length) via \(words[2])"
  }.sorted()
}

/// The same of an import.
private func topology(_ result: ImportedTopology) -> [String] {
  let addresses = (result.lab.node("a")?.interfaces ?? []).flatMap(\.addresses).map { "\($0)" }
  return
    (addresses.filter { !$0.hasPrefix("100.64.") && !$0.hasPrefix("fd00:") }
    + result.routes("a").map { $0.replacing(" dev eth1", with: "") }).sorted()
}

@Test(arguments: [
  ["ip addr add 192.0.2.1/24 dev eth1"],
  ["ip address replace 192.0.2.1/24 dev eth1"],
  ["ip a a 192.0.2.1/24 dev eth1"],
  ["ip addr add dev eth1 192.0.2.1/24"],
  ["ip addr add local 192.0.2.1/24 brd + dev eth1 scope global"],
  ["/sbin/ip -4 addr add 192.0.2.1/24 broadcast 192.0.2.255 dev eth1"],
  ["ip -6 addr add 2001:db8::1/64 dev eth1 nodad"],
  ["ip addr add 2001:db8:0:0::1/64 dev eth1 nodad"],
  ["ip addr add 192.0.2.9/24 dev eth1", "ip addr flush dev eth1", "ip addr add 192.0.2.1/24 dev eth1"],
  [
    "ip addr add 192.0.2.9/24 dev eth1", "ip addr add 192.0.2.1/24 dev eth1", "ip addr del 192.0.2.9/24 dev eth1",
    "ip addr add 192.0.2.1/24 dev eth1 || true",
  ],
  ["ip a add 192.0.2.1/24 dev eth1", "ip route add default via 192.0.2.2"],
  [
    "ip a add 192.0.2.1/24 dev eth1", "ip r a 198.51.100.0/24 via 192.0.2.2 dev eth1",
    "ip ro add 203.0.113.7 via 192.0.2.2",
  ],
  [
    "ip a add 192.0.2.1/24 dev eth1", "ip route add default via 192.0.2.2", "ip route del default",
    "ip route add 0.0.0.0/0 via 192.0.2.3",
  ],
  [
    "ip -6 a add 2001:db8::1/64 dev eth1 nodad", "ip -6 route add default via 2001:db8::2",
    "ip -6 r add 2001:db8:9::/48 via 2001:db8::2",
  ],
  ["sh -c 'ip addr add 192.0.2.1/24 dev eth1 && ip link set dev eth1 up; ip route add default via 192.0.2.2'"],
])
func addressesAndRoutesAreWhatTheKernelMakesOfTheCommands(commands: [String]) throws {
  let result = try lab(exec: commands.filter { !$0.hasSuffix("|| true") })
  #expect(try topology(result) == kernel(commands))
  #expect(result.exec("a").isEmpty, "\(result.exec("a"))")
}

@Test(arguments: [
  ("ifconfig eth1 192.0.2.1/24 up", ["192.0.2.1/24"]),
  ("ifconfig eth1 192.0.2.1 netmask 255.255.255.192", ["192.0.2.1/26"]),
])
func busyboxCommandsAreReadToo(command: String, addresses: [String]) throws {
  let result = try lab(exec: [command, "route add default gw 192.0.2.2", "route add -net 198.51.100.0/24 gw 192.0.2.2"])
  #expect(topology(result) == (["0.0.0.0/0 via 192.0.2.2", "198.51.100.0/24 via 192.0.2.2"] + addresses).sorted())
}

@Test(arguments: [
  "ip addr add 192.0.2.1 dev eth1",
  "ip addr add 192.0.2.1 peer 192.0.2.2/32 dev eth1",
  "ip addr add 192.0.2.1/24 dev br0",
  "ip addr add 192.0.2.1/24 dev eth1 label eth1:1",
  "ip addr add 127.0.0.2/8 dev lo",
  "ip route add default via 192.0.2.2 metric 100",
  "ip route add 198.51.100.0/24 via 192.0.2.2 table 7",
  "ip route add 198.51.100.0/24 nexthop via 192.0.2.2 nexthop via 192.0.2.3",
  "ip route add blackhole 198.51.100.0/24",
  "ip route add 198.51.100.0/24 dev eth1",
  "ip route add 198.51.100.0/24 via 203.0.113.1",
  "ip route del 198.51.100.0/24",
  "ip rule add from 192.0.2.1 table 7",
  "ip link set eth1 mtu 1400",
  "ip link add br0 type bridge",
  "ip -n other addr add 192.0.2.1/24 dev eth1",
  "ifconfig eth1 192.0.2.1 netmask 255.0.255.0",
  "sysctl -w kernel.panic=1",
  "iptables -t nat -A POSTROUTING -o eth1 -j MASQUERADE",
])
func aCommandThatSaysMoreThanATopologyCanStaysACommand(command: String) throws {
  #expect(try lab(exec: [command]).exec("a") == [command])
}

@Test func aDefaultRouteThatStaysACommandReplacesWhatTheNodeHas() throws {
  #expect(
    try lab(exec: ["ip route add default via 203.0.113.1"]).exec("a") == ["ip route replace default via 203.0.113.1"])
}

@Test func kernelSettingsGoWhereTheyBelong() throws {
  let result = try lab(exec: [
    "sysctl -w net.ipv4.ip_default_ttl=200 net.ipv4.tcp_sack=0", "sysctl net.ipv4.tcp_sack=1",
  ])
  #expect(result.lab.node("a")?.sysctls["net.ipv4.ip_default_ttl"] == "200")
  #expect(result.lab.node("a")?.sysctls["net.ipv4.tcp_sack"] == "1")
}

@Test func whatTheManagementNetworkOrAnImageWouldHaveIsLeftOut() throws {
  let result = try lab(exec: [
    "ip route del default via 172.20.20.1 dev eth0", "ip link set eth0 down", "apk add tcpdump", "cat '__clabDir__/x'",
    "echo 'open",
  ])
  #expect(result.exec("a").isEmpty)
  #expect(result.lost.count == 5, "\(result.lost)")
}

@Test func pathsOfBindsBecomeThoseOfTheMachine() throws {
  let clab = try ClabFolder(["setup.sh": "", "data/x": ""])
  let result = clab.parse(
    """
    name: t
    topology:
      nodes:
        a: {kind: linux, exec: [bash /setup.sh /data/x /database], binds: ["setup.sh:/setup.sh:ro", "data:/data", "x:/unused"]}
    """)
  let import_ = try #require(result.value)
  #expect(import_.exec("a") == ["bash \(clab.path)/setup.sh \(clab.path)/data/x /database"])
  #expect(import_.lost.count == 1 && import_.lost[0].contains("/unused"), "\(import_.lost)")
}

@Test(arguments: [
  #"echo a  b"#, #"echo 'a  b' "c d" e\ f"#, #"printf '%s\n' $HOME "$HOME" '$HOME'"#, #"echo "it's" 'a"b'"#,
  #"echo ''"#,
  #"bash -c "echo $0; echo 'x'" name"#, #"echo * ~ # ; | & > <"#, #"echo "a\\b\"c" # f"#,
  #"echo !x a=b {a,b} [ab]"#,
])
func wordsReachTheProgramAsContainerlabWouldHandThem(command: String) throws {
  // Containerlab starts the program itself with the words of a POSIX shell, of which nothing is expanded.
  let kept = try #require(try lab(exec: [command]).exec("a").first)
  let shown = try output(
    of: "/usr/bin/python3",
    ["-c", "import shlex, sys\nfor w in shlex.split(sys.argv[1], comments=True): print(repr(w))", command])
  let reached = try output(
    of: "/bin/sh",
    ["-c", "python3 -c 'import sys\nfor w in sys.argv[1:]: print(repr(w))' \(kept)"])
  #expect(reached == shown, "\(kept)")
}

@Test func aBackslashInDoubleQuotesHidesAnyCharacter() throws {
  #expect(try lab(exec: [#"echo "a\$b\c""#]).exec("a") == ["echo 'a$bc'"])
}

@Test func scriptsOfShStayAsTheyAre() throws {
  let script = #"for i in 1 2; do echo "$i"; done"#
  #expect(try lab(exec: ["sh -c '\(script)'"]).exec("a") == [script])
  #expect(try lab(exec: ["bash -c '\(script)'"]).exec("a") == ["bash -c '\(script)'"])
}

@Test(arguments: [
  ("sleep infinity", nil), ("bash", nil), ("/bin/sh", nil), ("tail -f /dev/null", nil),
  ("nginx -g 'daemon off;'", "nginx -g 'daemon off;'"), ("sh -c 'exec nc -l 80'", "exec nc -l 80"),
  ("python3 -m http.server __clabNodeName__", "python3 -m http.server a"),
])
func whatOnlyKeepsAContainerAliveIsNoServer(cmd: String, becomes: String?) throws {
  let result = try imported("name: t\ntopology: {nodes: {a: {kind: linux, cmd: \"\(cmd)\"}}}")
  #expect(result.lab.node("a")?.commands == (becomes.map { [$0] } ?? []))
  #expect(result.lost.isEmpty)
}
