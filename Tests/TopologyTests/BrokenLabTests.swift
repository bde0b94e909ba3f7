import NetTypes
import Testing
import Topology

/// A file with one mistake. `§` stands in the text just before the place that must be named, and is taken out before
/// the text is read; the message must hold `word`.
struct Broken: Sendable, CustomTestStringConvertible {
  var about: String
  var word: String
  var text: String
  var line = 1
  var column = 1

  init(_ about: String, _ word: String, _ marked: String) {
    self.about = about
    self.word = word
    text = ""
    var found = false
    for character in marked.unicodeScalars {
      if character == "§" {
        found = true
      } else {
        text.unicodeScalars.append(character)
        guard !found else { continue }
        column += 1
        if character == "\n" { (line, column) = (line + 1, 1) }
      }
    }
    if !found { (line, column) = (1, 1) }
  }

  var testDescription: String { about }
}

/// `LINE:COL message`, one a line.
func shown(_ diagnostics: [Diagnostic]) -> String {
  diagnostics.map { "\($0.place.line):\($0.place.column) \($0.message)" }.joined(separator: "\n")
}

func parse(_ text: String) -> Parsed<ResolvedLab> {
  TopologyFile.parse(text: text, file: "t.yaml", baseDirectory: "/nonexistent")
}

/// A host with these keys.
func container(_ keys: String) -> String { "name: t\ntopology:\n  nodes: {a: {kind: host, \(keys)}}\n" }

/// Two eBGP routers and whatever is added below them.
func pair(_ rest: String, a: String = "", b: String = "", link: String = ", relation: peer-peer") -> String {
  """
  name: t
  topology:
    nodes:
      a: {kind: router, asn: 64500\(a)}
      b: {kind: router, asn: 64501\(b)}
    links:
      - {endpoints: ["a:eth1", "b:eth1"]\(link)}
  \(rest)
  """
}

private let hosts = "name: t\ntopology:\n  nodes: {a: {kind: host}, b: {kind: host}}\n  links:\n"

private let brokenText: [Broken] = [
  Broken("an empty file", "empty", ""),
  Broken("only comments", "empty", "# nothing\n\n"),
  Broken("a scalar", "mapping", "§hello\n"),
  Broken("a list", "mapping", "§- a\n- b\n"),
  Broken("a NUL byte", "binary", "name: t\nto§\u{0}pology: {}\n"),
  Broken("an unclosed brace", "YAML", "name: t\ntopology:\n  nodes: {a: {kind: host}\n§"),
  Broken("a tab for indentation", "tab", "name: t\ntopology:\n§\tnodes: {}\n"),
  Broken("a stray colon", "YAML", "name: lab§: x\n"),
  Broken("two documents", "document", "name: t\ntopology:\n  nodes: {a: {kind: host}}\n§---\nname: u\n"),
  Broken("an undefined alias", "alias", "name: t\ntopology:\n  nodes: {a: §*router}\n"),
  Broken("a tag", "tag", "name: §!!binary t\ntopology:\n  nodes: {a: {kind: host}}\n"),
  Broken("a collection as a key", "key", "name: t\n§[a, b]: c\ntopology:\n  nodes: {a: {kind: host}}\n"),
  Broken("no name", "no `name`", "§topology:\n  nodes: {a: {kind: host}}\n"),
  Broken("a name without a value", "no value", "name:§\ntopology:\n  nodes: {a: {kind: host}}\n"),
  Broken("a bad lab name", "upper case", "name: §Lab\ntopology:\n  nodes: {a: {kind: host}}\n"),
  Broken(
    "a node name that is too long", "33",
    "name: t\ntopology:\n  nodes: {§a23456789012345678901234567890123: {kind: host}}\n"),
  Broken("a node called localhost", "localhost", "name: t\ntopology:\n  nodes: {§localhost: {kind: host}}\n"),
  Broken("no nodes key", "no `nodes`", "name: t\n§topology: {links: []}\n"),
  Broken("no nodes", "empty", "name: t\ntopology:\n  nodes: §{}\n"),
  Broken(
    "a duplicate key in a block", "duplicate key `a`",
    "name: t\ntopology:\n  nodes:\n    a: {kind: host}\n    b: {kind: host}\n    §a: {kind: router}\n"),
  Broken(
    "a duplicate key in braces", "duplicate key `kind`",
    "name: t\ntopology:\n  nodes:\n    a: {kind: host, exec: [\"a, kind: b\"],\n      §kind: host}\n"),
  Broken(
    "an unknown key at the top", "did you mean `topology`",
    "name: t\ntopology: {nodes: {a: {kind: host}}}\n§topolgy: {}\n"),
  Broken(
    "an unknown key of a node", "did you mean `networks`",
    "name: t\ntopology:\n  nodes:\n    a: {kind: router, asn: 64500, §network: []}\n"),
  Broken("a list where a mapping belongs", "mapping", "name: t\ntopology:\n  nodes: §[a, b]\n"),
  Broken("a mapping where a scalar belongs", "mapping", "name: §{a: b}\ntopology:\n  nodes: {a: {kind: host}}\n"),
]

private let brokenNodes: [Broken] = [
  Broken("a kind that does not exist", "`router`", "name: t\ntopology:\n  nodes: {a: {kind: §routr}}\n"),
  Broken("a storage without a registry", "registry", "name: t\ntopology:\n  nodes: {a: {kind: host, §storage: x}}\n"),
  Broken("a node without kind", "kind", "name: t\ntopology:\n  nodes: {§a: {exec: []}}\n"),
  Broken("a node of which nothing is written", "kind", "name: t\ntopology:\n  nodes:\n    §a:\n"),
  Broken("an image on a router", "host, pod", "name: t\ntopology:\n  nodes: {a: {kind: router, §image: \"web:1\"}}\n"),
  Broken("an image with a short digest", "64 hex", container("image: §\"web@sha256:12\"")),
  Broken("an image with a capital letter", "lower-case", container("image: §Web")),
  Broken("limits without an image", "no `image`", container("§limits: {memory: 64mb}")),
  Broken("no limit", "memory", container("image: web, §limits: {}")),
  Broken("memory without a unit", "64mb", container("image: web, limits: {memory: §64}")),
  Broken("too little memory", "so little", container("image: web, limits: {memory: §1mb}")),
  Broken("no processor", "0.01", container("image: web, limits: {cpus: §0}")),
  Broken("a bind without a destination", "/DESTINATION", container("image: web, binds: [§site]")),
  Broken("a bind of nothing", "cannot read", container("image: web, binds: [§\"absent:/srv\"]")),
  Broken("readiness without a port", "no port", container("image: web, ready: {http: §/health}")),
  Broken("readiness at no path", "/health", container("image: web, ready: {http: §health, port: 80}")),
  Broken("two lines of arguments", "2 lines", container("image: web, cmd: [a, §b]")),
  Broken("arguments in an open quote", "not closed", container("image: web, cmd: [§\"a 'b\"]")),
  Broken("a mesh without services", "has no `services`", pair("§mesh: {mtls: strict}")),
  Broken("AS 0", "RFC 7607", "name: t\ntopology:\n  nodes: {a: {kind: router, asn: §0}}\n"),
  Broken("AS 23456", "AS_TRANS", "name: t\ntopology:\n  nodes: {a: {kind: router, asn: §23456}}\n"),
  Broken("AS 65535", "RFC 7300", "name: t\ntopology:\n  nodes: {a: {kind: router, asn: §65535}}\n"),
  Broken("AS 2^32 - 1", "RFC 7300", "name: t\ntopology:\n  nodes: {a: {kind: router, asn: §4294967295}}\n"),
  Broken("AS 2^32", "32 bits", "name: t\ntopology:\n  nodes: {a: {kind: router, asn: §4294967296}}\n"),
  Broken("AS 0.0, dotted", "RFC 7607", "name: t\ntopology:\n  nodes: {a: {kind: router, asn: §0.0}}\n"),
  Broken("an AS with letters", "number alone", "name: t\ntopology:\n  nodes: {a: {kind: router, asn: §AS64500}}\n"),
  Broken("an AS on a host", "host", "name: t\ntopology:\n  nodes: {a: {kind: host, §asn: 64500}}\n"),
  Broken(
    "networks without an AS", "asn", "name: t\ntopology:\n  nodes: {a: {kind: router, §networks: [192.0.2.0/24]}}\n"),
  Broken("host bits in a network", "203.0.113.0/24", pair("", a: ", networks: [§203.0.113.5/24]")),
  Broken("a network without a length", "length", pair("", a: ", networks: [§203.0.113.0]")),
  Broken("a network with a length of 33", "32", pair("", a: ", networks: [§203.0.113.0/33]")),
  Broken("a network twice", "twice", pair("", a: ", networks: [203.0.113.0/24, §203.0.113.0/24]")),
  Broken("a loopback that is a subnet", "/32", pair("", a: ", loopback: [§10.1.0.1/24]")),
  Broken(
    "a loopback of two routers", "already", pair("", a: ", loopback: [10.1.0.1/32]", b: ", loopback: [§10.1.0.1/32]")),
  Broken(
    "a router id of two routers in one AS", "router id",
    """
    name: t
    topology:
      nodes:
        a: {kind: router, asn: 64500, bgp: {router-id: 1.1.1.1}}
        b: {kind: router, asn: 64500, bgp: {router-id: §1.1.1.1}}
      links: [{endpoints: [a, b]}]

    """),
  Broken("a daemon without its file", "config", "name: t\ntopology:\n  nodes: {§a: {kind: bird, asn: 64500}}\n"),
  Broken(
    "a daemon whose file is not there", "No such file",
    "name: t\ntopology:\n  nodes: {a: {kind: frr, asn: 64500, config: §frr.conf}}\n"),
  Broken("config on a router", "bird", pair("", a: ", §config: x.conf")),
  Broken(
    "a sysctl of the machine", "net.", "name: t\ntopology:\n  nodes: {a: {kind: host, sysctls: {§kernel.panic: 1}}}\n"),
  Broken("yes instead of true", "write `true`", pair("", a: ", bgp: {route-reflector: §yes}")),
  Broken(
    "a command that is not in a list", "list", "name: t\ntopology:\n  nodes: {a: {kind: host, cmd: §\"sleep 1\"}}\n"),
]

private let brokenLinks: [Broken] = [
  Broken("an unknown node in a link", "did you mean `a`", hosts + "    - {endpoints: [b, §\"aa:eth1\"]}\n"),
  Broken(
    "one interface on two links", "already used by the link in line 5",
    "name: t\ntopology:\n  nodes: {a: {kind: host}, b: {kind: router}, c: {kind: host}}\n  links:\n"
      + "    - {endpoints: [\"b:eth1\", a]}\n    - {endpoints: [c, §\"b:eth1\"]}\n"),
  Broken("a link to itself", "itself", hosts + "    - {endpoints: [a, §a]}\n"),
  Broken("three endpoints", "expected 2", hosts + "    - {endpoints: §[a, b, a]}\n"),
  Broken("a link without endpoints", "endpoints", hosts + "    - §{mtu: 1500}\n"),
  Broken("a long interface name", "15", hosts + "    - {endpoints: [b, §\"a:averylongname123\"]}\n"),
  Broken("the interface lo", "loopback", hosts + "    - {endpoints: [b, §\"a:lo\"]}\n"),
  Broken(
    "an octet above 255", "address", hosts + "    - {endpoints: [a, b], addresses: [[§10.0.0.300/24], [10.0.0.2/24]]}\n"
  ),
  Broken(
    "an address without a length", "length",
    hosts + "    - {endpoints: [a, b], addresses: [[§10.9.0.1], [10.9.0.2/24]]}\n"),
  Broken(
    "the address of the network", "network",
    hosts + "    - {endpoints: [a, b], addresses: [[§10.9.0.0/24], [10.9.0.2/24]]}\n"),
  Broken(
    "the broadcast address", "broadcast",
    hosts + "    - {endpoints: [a, b], addresses: [[10.9.0.1/24], [§10.9.0.255/24]]}\n"),
  Broken(
    "a multicast address", "multicast",
    hosts + "    - {endpoints: [a, b], addresses: [[§224.0.0.5/24], [10.9.0.2/24]]}\n"),
  Broken("one list of addresses", "expected 2", hosts + "    - {endpoints: [a, b], addresses: §[[10.9.0.1/24]]}\n"),
  Broken(
    "one address on both ends", "both ends",
    hosts + "    - {endpoints: [a, b], addresses: [[10.9.0.1/24], [§10.9.0.1/24]]}\n"),
  Broken(
    "ends in two subnets", "different subnets",
    hosts + "    - {endpoints: [a, b], addresses: [[10.9.0.1/24], [§10.9.1.2/24]]}\n"),
  Broken(
    "an address on one end only", "neither", hosts + "    - {endpoints: [a, b], addresses: [[§10.9.0.1/24], []]}\n"),
  Broken(
    "overlapping subnets on one router", "overlap",
    "name: t\ntopology:\n  nodes: {a: {kind: host}, r: {kind: router}, c: {kind: host}}\n  links:\n"
      + "    - {endpoints: [a, r], addresses: [[10.1.0.2/16], [10.1.0.1/16]]}\n"
      + "    - {endpoints: [c, r], addresses: [[10.1.5.2/24], [§10.1.5.1/24]]}\n"),
  Broken(
    "one address on two links of a router", "stands twice",
    "name: t\ntopology:\n  nodes: {a: {kind: host}, r: {kind: router, loopback: [10.1.0.1/32]}}\n  links:\n"
      + "    - {endpoints: [a, r], addresses: [[10.1.0.2/24], [§10.1.0.1/24]]}\n"),
  Broken(
    "one address on two stations of a switch", "same switch",
    "name: t\ntopology:\n  nodes: {a: {kind: host}, s: {kind: switch}, c: {kind: host}}\n  links:\n"
      + "    - {endpoints: [a, s], addresses: [[10.1.0.2/24], []]}\n"
      + "    - {endpoints: [c, s], addresses: [[§10.1.0.2/24], []]}\n"),
  Broken(
    "an address on a switch port", "bridge port",
    "name: t\ntopology:\n  nodes: {a: {kind: host}, s: {kind: switch}}\n  links:\n"
      + "    - {endpoints: [a, s], addresses: [[10.1.0.2/24], [§10.1.0.1/24]]}\n"),
  Broken(
    "an IPv4 address in an IPv6 lab", "without IPv4",
    hosts + "    - {endpoints: [a, b], addresses: [[§10.9.0.1/24], []]}\naddressing: {ipv4: false}\n"),
  Broken(
    "no family at all", "both false", hosts + "    - {endpoints: [a, b]}\naddressing: {ipv4: false, ipv6: §false}\n"),
  Broken(
    "a pool that is too small", "no /31 is left",
    "name: t\naddressing: {links: [10.0.0.0/30]}\ntopology:\n  nodes: {a: {kind: host}, b: {kind: host}}\n  links:\n"
      + "    - {endpoints: [a, b]}\n    - {endpoints: [a, b]}\n    - §{endpoints: [a, b]}\n"),
  Broken("a delay without a unit", "unit is missing", hosts + "    - {endpoints: [a, b], delay: §5}\n"),
  Broken("a delay of a minute", "from 0 to 10s", hosts + "    - {endpoints: [a, b], delay: §1m}\n"),
  Broken("a jitter without a delay", "without `delay`", hosts + "    - {endpoints: [a, b], §jitter: 5ms}\n"),
  Broken("a jitter above its delay", "more than", hosts + "    - {endpoints: [a, b], delay: 5ms, jitter: §6ms}\n"),
  Broken("a loss without its sign", "`%` is missing", hosts + "    - {endpoints: [a, b], loss: §1}\n"),
  Broken("a loss above everything", "from 0% to 100%", hosts + "    - {endpoints: [a, b], loss: §100.5%}\n"),
  Broken(
    "a loss that a switch would have to receive", "the switch `s`, which loses nothing",
    "name: t\ntopology:\n  nodes: {h: {kind: host}, s: {kind: switch}}\n  links:\n"
      + "    - {endpoints: [h, s], delay: 0, §loss: 1%}\n"),
  Broken("a link's rate in a unit of others", "`10mbit`", hosts + "    - {endpoints: [a, b], rate: §10Mbps}\n"),
  Broken(
    "a shaper on a link with a rate", "whose link has a `rate` (line 7)",
    pair("", a: ", qos: {§eth1: {egress: {shape: {rate: 1mbit}}}}", link: ", relation: peer-peer, rate: 10mbit")),
  Broken("an mtu too small for IPv6", "1280", hosts + "    - {endpoints: [a, b], mtu: §1000}\n"),
  Broken("a relation between hosts", "BGP", hosts + "    - {endpoints: [a, b], relation: §peer-peer}\n"),
  Broken(
    "a relation that does not exist", "customer-provider", hosts + "    - {endpoints: [a, b], relation: §transit}\n"),
  Broken(
    "a relation inside an AS", "two ASes",
    "name: t\ntopology:\n  nodes: {a: {kind: router, asn: 64500}, b: {kind: router, asn: 64500}}\n"
      + "  links: [{endpoints: [a, b], relation: §peer-peer}]\n"),
  Broken(
    "a relation on a link to a switch", "neighbors",
    "name: t\ntopology:\n  nodes: {a: {kind: router, asn: 64500}, s: {kind: switch}}\n"
      + "  links: [{endpoints: [a, s], relation: §peer-peer}]\n"),
  Broken(
    "roles without a relation", "relation",
    pair(
      "policies: {}", a: ", bgp: {neighbors: {b: {import: accept, export: accept}}}",
      b: ", bgp: {neighbors: {a: {import: accept, export: accept}}}", link: ", roles: §false")),
]

private let brokenBGP: [Broken] = [
  Broken("an unknown node as a neighbor", "unknown node `c`", pair("", a: ", bgp: {neighbors: {§c: {md5: x}}}")),
  Broken(
    "a neighbor that no link leads to", "no session",
    """
    name: t
    topology:
      nodes:
        a: {kind: router, asn: 64500, bgp: {neighbors: {§c: {md5: x}}}}
        b: {kind: router, asn: 64501}
        c: {kind: router, asn: 64502}
      links:
        - {endpoints: [a, b], relation: open}
        - {endpoints: [b, c], relation: open}

    """),
  Broken(
    "a neighbor's interface that is not there", "eth9", pair("", a: ", bgp: {neighbors: {§\"b:eth9\": {md5: x}}}")),
  Broken(
    "an unknown policy", "did you mean `mine`",
    pair("policies: {mine: [{then: accept}]}", a: ", bgp: {neighbors: {b: {import: §min, export: mine}}}")),
  Broken(
    "an md5 password of 81 bytes", "81 bytes",
    pair("", a: ", bgp: {neighbors: {b: {md5: §\(String(repeating: "x", count: 81))}}}")),
  Broken(
    "two md5 passwords", "differs",
    pair("", a: ", bgp: {neighbors: {b: {md5: one}}}", b: ", bgp: {neighbors: {a: {md5: §two}}}")),
  Broken(
    "two relations", "contradict",
    pair("", a: ", bgp: {neighbors: {b: {relation: §customer-provider}}}", link: ", relation: peer-peer")
      .replacingMarked("§", at: .later)),
  Broken("a hold time of 2", "at least 3", pair("", a: ", bgp: {timers: {hold: §2}}")),
  Broken("a keepalive longer than the hold time", "longer", pair("", a: ", bgp: {timers: {hold: 9, keepalive: §10}}")),
  Broken("a time with a wrong unit", "`3s`", pair("", a: ", bgp: {timers: {hold: §3sec}}")),
  Broken("add-path", "not yet", pair("", a: ", bgp: {neighbors: {b: {§add-path: true}}}")),
  Broken(
    "ttl-security on iBGP", "loopbacks",
    "name: t\ntopology:\n  nodes:\n    a: {kind: router, asn: 64500, bgp: {neighbors: {b: {ttl-security: §true}}}}\n"
      + "    b: {kind: router, asn: 64500}\n  links: [{endpoints: [a, b]}]\n"),
  Broken(
    "a route through a stranger", "no link",
    """
    name: t
    topology:
      nodes:
        a: {kind: router, routes: [{to: 198.18.0.0/15, via: §c}]}
        b: {kind: router}
        c: {kind: router}
      links: [{endpoints: [a, b]}, {endpoints: [b, c]}]

    """),
  Broken(
    "a route through an address that is not there", "no subnet",
    pair("", a: ", routes: [{to: 198.18.0.0/15, via: §192.0.2.1}]")),
]

private let brokenPolicies: [Broken] = [
  Broken("rpki", "not yet", pair("policies: {p: [{match: {§rpki: valid}}]}")),
  Broken("a policy named accept", "taken", pair("policies: {§accept: [{then: reject}]}")),
  Broken(
    "a statement behind otherwise", "never reached", pair("policies: {p: [{otherwise: reject}, §{then: accept}]}")),
  Broken("an empty statement", "empty", pair("policies: {p: [§{}]}")),
  Broken("lengths in the wrong order", "rise", pair("policies: {p: [{match: {prefix: §10.0.0.0/8 ge 24 le 16}}]}")),
  Broken("a community part above 65535", "65535", pair("policies: {p: [{match: {community: §\"70000:1\"}}]}")),
  Broken("a wildcard that is set", "wildcard", pair("policies: {p: [{set: {community: {add: §\"65001:*\"}}}]}")),
  Broken("a bracket that does not close", "closed", pair("policies: {p: [{match: {as-path: §\"^[65001\"}}]}")),
  Broken("a repetition of nothing", "valid expression", pair("policies: {p: [{match: {as-path: §\"*\"}}]}")),
  Broken("a repetition backwards", "valid expression", pair("policies: {p: [{match: {as-path: §\"1{3,2}\"}}]}")),
  Broken("a range backwards", "valid expression", pair("policies: {p: [{match: {as-path: §\"[9-0]\"}}]}")),
  Broken("an unknown neighbor in a match", "unknown neighbor", pair("policies: {p: [{match: {neighbor: §x}}]}")),
]

private let brokenTests: [Broken] = [
  Broken(
    "two tests of one name", "second test",
    pair(
      """
      tests:
        - {name: one, steps: [{exec: {node: a, command: "true"}}]}
        - {name: §one, steps: [{exec: {node: a, command: "true"}}]}
      """)),
  Broken("a test without steps", "steps", pair("tests: [§{name: one}]")),
  Broken("an unknown node in a trace", "unknown node", pair("tests: [{name: x, steps: [{trace: {from: a, to: §c}}]}]")),
  Broken("a trace without a port", "port", pair("tests: [{name: x, steps: [{trace: §{from: a, to: b, proto: tcp}}]}]")),
  Broken(
    "an expectation of another step", "nothing a trace",
    pair("tests: [{name: x, steps: [{trace: {from: a, to: b}, expect: {§state: idle}}]}]")),
  Broken(
    "two words in a step", "together",
    pair("tests: [{name: x, steps: [§{no-transit: a, exec: {node: a, command: x}}]}]")),
  Broken("within beside a fault", "at once", pair("tests: [{name: x, steps: [{fault: {kill: a}, §within: 2s}]}]")),
  Broken("a time without a unit", "unit", pair("tests: [{name: x, steps: [{no-transit: a, within: §2}]}]")),
  Broken(
    "two ends that are no link", "no interface",
    pair("tests: [{name: x, steps: [{fault: {link-down: [\"a:eth1\", §\"b:eth2\"]}}]}]")),
  Broken(
    "a reason that does not exist", "best-because",
    pair("tests: [{name: x, steps: [{route: {node: a, prefix: 10.0.0.0/8}, expect: {best-because: §luck}}]}]")),
]

extension String {
  enum Which { case later }
  /// Two places stand in one message; the later one in the file is the place of the error.
  fileprivate func replacingMarked(_ mark: Character, at: Which) -> String {
    let plain = filter { $0 != mark }
    guard let range = plain.ranges(of: "relation: peer-peer").last else { return plain }
    return plain[..<range.lowerBound] + "relation: §" + plain[range.lowerBound...].dropFirst("relation: ".count)
  }
}

let allBrokenLabs =
  brokenText + brokenNodes + brokenLinks + brokenBGP + brokenPolicies + brokenTests + brokenFunctions + brokenSteps
  + brokenTestLanguage

@Test(arguments: allBrokenLabs)
func aBrokenFileIsRefusedAtItsPlaceInItsWords(_ broken: Broken) throws {
  let parsed = parse(broken.text)
  #expect(parsed.value == nil)
  let error = try #require(parsed.errors.first)
  #expect(parsed.errors.count == 1, "\(shown(parsed.errors))")
  #expect("\(error.place.line):\(error.place.column)" == "\(broken.line):\(broken.column)", "\(shown(parsed.errors))")
  #expect(error.message.contains(broken.word), "\(shown(parsed.errors))")
  #expect(error.description.hasPrefix("t.yaml:\(broken.line):\(broken.column): error: "))
}

@Test func everyErrorOfAFileIsSaidAtOnceInTheOrderOfTheFile() {
  let parsed = parse(
    """
    name: T
    topology:
      nodes:
        a: {kind: router, asn: 0, colour: red}
        b: {kind: rooter}
        a: {kind: host}
      links:
        - {endpoints: [a, z], mtu: 9}
        - {endpoints: [a, a]}
    policies: {p: [{then: maybe}]}
    """)
  #expect(
    parsed.errors.map { "\($0.place.line):\($0.place.column)" } == [
      "1:7", "4:28", "4:31", "5:15", "6:5", "8:23", "8:32", "9:23", "10:23",
    ], "\(shown(parsed.errors))")
}

@Test func textThatIsNotUTF8IsRefusedAtItsFirstBadByte() throws {
  let path = try temporaryFile(Array("name: t\n# caf".utf8) + [0xE9, 0x0A])
  let parsed = TopologyFile.load(path: path)
  #expect(
    parsed.errors.map(\.description) == ["\(path):2:6: error: not UTF-8 from here on; expected YAML text in UTF-8"])
}

@Test func aFileThatIsNotThereIsOneError() {
  let parsed = TopologyFile.load(path: "/proc/no-such-folder/lab.yaml")
  #expect(
    parsed.errors.map(\.description) == [
      "/proc/no-such-folder/lab.yaml:1:1: error: cannot open `/proc/no-such-folder/lab.yaml`: No such file or directory"
    ])
  #expect(TopologyFile.load(path: "/tmp").errors.first?.message.contains("directory") == true)
}

@Test func aBillionAliasesAreRefusedWhereTheyAreUsed() throws {
  var text = "name: t\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n"
  for level in 1...12 {
    text += "x\(level): &x\(level) [" + Array(repeating: "*x\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
  }
  let parsed = parse(text + "topology: {nodes: {a: {kind: host}}}\n")
  let error = try #require(parsed.errors.first)
  #expect(error.message.contains("aliases expand"), "\(shown(parsed.errors))")
  #expect((4...14).contains(error.place.line), "\(shown(parsed.errors))")
}

@Test func aliasesAsKeysAreRefusedBeforeTheyAreHashed() {
  var text = "name: t\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n"
  for level in 1...12 {
    text += "x\(level): &x\(level) [" + Array(repeating: "*x\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
  }
  let parsed = parse(text + "? *x12\n: 1\n")
  #expect(parsed.errors.map { "\($0.place.line):\($0.place.column)" } == ["15:1"], "\(shown(parsed.errors))")
}

@Test(arguments: ["[", "{a: ", "- "])
func deepNestingIsRefusedAndNothingOverflows(_ opener: String) throws {
  let parsed = parse("name: t\nx: " + (opener == "- " ? "\n  " : "") + String(repeating: opener, count: 100_000))
  #expect(parsed.value == nil)
  let error = try #require(parsed.errors.first)
  #expect(error.message.contains("too deep"), "\(shown(parsed.errors).prefix(500))")
}

@Test func manyAnchorsInAChainAreRefused() {
  var text = "name: t\na0: &a0 [x]\n"
  for level in 1...50_000 { text += "a\(level): &a\(level) [*a\(level - 1)]\n" }
  let parsed = parse(text)
  #expect(parsed.errors.map { "\($0.place.line)" } == ["258"], "\(shown(parsed.errors).prefix(300))")
}

@Test func oneErrorAmongTwentyThousandNodesIsFoundInTime() {
  var text =
    "name: big\naddressing: {links: [10.0.0.0/8, \"fd00:10::/32\"], loopbacks: [172.16.0.0/12, \"fd00:20::/48\"]}\ntopology:\n  nodes:\n"
  for index in 0..<20_000 {
    text += "    n\(index): {kind: router, asn: \(4_200_000_000 + index)}\n"
  }
  text += "  links:\n"
  for index in 1..<20_000 {
    let to = index == 12_345 ? "n1x2344" : "n\(index - 1)"
    text += "    - {endpoints: [n\(index), \(to)], relation: customer-provider}\n"
  }
  let clock = ContinuousClock()
  var parsed: Parsed<ResolvedLab>?
  let time = clock.measure { parsed = parse(text) }
  print("20,000 nodes with one error: \(time)")
  #expect(
    parsed.map { shown($0.errors) }
      == "32350:28 unknown node `n1x2344`; did you mean `n12344`?")
}
