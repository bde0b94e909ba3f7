/// A router between two hosts and an uplink `b`, with functions on the router.
private func edge(_ functions: String, b: String = "", rest: String = "") -> String {
  """
  name: t
  topology:
    nodes:
      h: {kind: host}
      s: {kind: switch}
      a: {kind: router, asn: 64500\(functions)}
      b: {kind: router, asn: 64501\(b)}
      c: {kind: router, asn: 64502}
    links:
      - {endpoints: ["a:eth0", "h:eth1"], addresses: [[192.168.1.1/24, "fd01::1/64"], [192.168.1.10/24, "fd01::10/64"]]}
      - {endpoints: ["a:eth1", "b:eth1"], relation: customer-provider, addresses: [[203.0.113.1/24], [203.0.113.2/24]]}
      - {endpoints: ["b:eth2", "c:eth1"], relation: peer-peer}
      - {endpoints: [c, s]}
      - {endpoints: [b, s], mtu: 9000}
  \(rest)
  """
}

private func nat(_ rule: String) -> String { edge(", nat: [\(rule)]") }
private func qos(_ body: String) -> String { edge(", qos: {eth1: {\(body)}}") }
private func filter(_ rules: String) -> String { edge(", filter: [\(rules)]") }
private func path(_ via: String) -> String { edge(", path: {match: {proto: tcp, port: 80}, via: [\(via)]}") }
private func flow(_ rule: String) -> String { edge(", flowspec: [\(rule)]") }
private func steps(_ steps: String) -> String { edge("", rest: "tests: [{name: x, steps: [\(steps)]}]") }

private let brokenNAT: [Broken] = [
  Broken("a drift that does not exist", "`repair`", edge("", rest: "drift: §never")),
  Broken("two words in a nat rule", "together", nat("§{snat: {out: eth1, to: 203.0.113.1}, masquerade: {out: eth1}}")),
  Broken("nat on a switch", "bridges", edge("").replacing("{kind: switch}", with: "{kind: switch, §nat: []}")),
  Broken("an interface that is not there", "did you mean `eth1`", nat("{masquerade: {out: §eth11}}")),
  Broken("a far interface that is not there", "expected one of `eth0`, `eth1`", nat("{masquerade: {out: §wan}}")),
  Broken("a masquerade of everything", "at least one of `out`", nat("{§masquerade: {random: true}}")),
  Broken("a source of another family", "one family", nat("{snat: {out: eth1, from: §\"fd01::/64\", to: 203.0.113.1}}")),
  Broken("a pool that runs backwards", "backwards", nat("{snat: {out: eth1, to: §203.0.113.9-203.0.113.5}}")),
  Broken("a pool of two families", "mixes two families", nat("{snat: {out: eth1, to: §\"203.0.113.9-fd01::9\"}}")),
  Broken("a source nobody answers to", "multicast", nat("{snat: {out: eth1, to: §224.0.0.5}}")),
  Broken("ports of icmp", "icmp has no ports", nat("{snat: {out: eth1, proto: icmp, port: §80, to: 203.0.113.1}}")),
  Broken("a port forward without a protocol", "one protocol", nat("{dnat: {in: eth1, port: §80, to: 192.168.1.10}}")),
  Broken(
    "a port to go to without a protocol", "one protocol", nat("{dnat: {in: eth1, to: §\"192.168.1.10:8080\"}}")),
  Broken("a port forward for nobody", "without `in` and without `address`", nat("§{dnat: {to: 192.168.1.10}}")),
  Broken(
    "a port forward into another family", "one family",
    nat("{dnat: {in: eth1, address: §203.0.113.1, to: \"fd01::10\"}}")),
  Broken(
    "ports that are shifted", "not shifted",
    nat("{dnat: {in: eth1, proto: tcp, port: 80-90, to: §\"192.168.1.10:8080-8090\"}}")),
  Broken(
    "a hairpin without another side", "no client is on the server's own side",
    nat("{dnat: {in: [eth0, eth1], proto: tcp, port: 80, to: 192.168.1.10, hairpin: §true}}")),
  Broken("a target that is none", "`ADDRESS:PORT`", nat("{dnat: {in: eth1, proto: tcp, port: 80, to: §server}}")),
  Broken("prefixes of two lengths", "/28 for both", nat("{map: {inside: 192.168.2.0/28, outside: §203.0.113.0/29}}")),
  Broken(
    "a map between families", "expected an IPv4 prefix",
    nat("{map: {inside: 192.168.2.0/28, outside: §\"fd02::/124\"}}")),
  Broken("a map onto itself", "is `inside` itself", nat("{map: {inside: 192.168.2.0/28, outside: §192.168.2.0/28}}")),
  Broken(
    "two zones of an interface", "second zone", nat("{zone: {in: eth0, id: 1}}, §{zone: {in: [eth1, eth0], id: 2}}")),
  Broken(
    "a family the lab has not", "without IPv6",
    "name: t\naddressing: {ipv6: false}\ntopology:\n  nodes: {a: {kind: router, filter: [{match: {from: §\"fd01::/64\"}, "
      + "then: drop}]}}\n"),
  Broken(
    "one port of the machine for two nodes", "already leads to `a`",
    edge(", publish: [\"8080:80\"]", b: ", publish: [§\"8080:81\"]")),
  Broken("a published port without the node's", "missing", edge(", publish: [§\"8080\"]")),
  Broken(
    "a port published by a switch", "no address", edge("").replacing("switch}", with: "switch, §publish: [\"1:1\"]}")),
]

private let brokenFilters: [Broken] = [
  Broken("an empty match", "empty", filter("{§match: {}, then: drop}")),
  Broken("a rule that does nothing", "no `then`", filter("§{match: {proto: tcp}}")),
  Broken("then beside otherwise", "beside `otherwise`", filter("{otherwise: drop, §then: drop}")),
  Broken("a state that does not exist", "one of `new`", filter("{match: {state: §old}, then: drop}")),
  Broken("a port range that runs backwards", "backwards", filter("{match: {proto: tcp, port: §90-80}, then: drop}")),
  Broken("a port of 0", "from 1", filter("{match: {proto: udp, port: §0}, then: drop}")),
  Broken(
    "from and to of two families", "one family", filter("{match: {from: 10.0.0.0/8, to: §\"fd01::/64\"}, then: drop}")),
  Broken("host bits in a match", "192.168.1.0/24", filter("{match: {from: §192.168.1.5/24}, then: drop}")),
  Broken("a verdict that does not exist", "one of `accept`", filter("{match: {proto: tcp}, then: §deny}")),
]

private let brokenQoS: [Broken] = [
  Broken(
    "qos of an interface that is not there", "did you mean `eth1`",
    edge(", qos: {§eht1: {egress: {shape: {rate: 1mbit}}}}")),
  Broken("a rate without a unit", "unit is missing", qos("egress: {shape: {rate: §10}}")),
  Broken("a rate with a unit of others", "`10mbit`", qos("egress: {shape: {rate: §10Mbps}}")),
  Broken(
    "classes of nothing", "without `shape`",
    qos("egress: {mark: [{dscp: ef}], §classes: [{name: v, match: {dscp: ef}, rate: 1mbit}]}")),
  Broken(
    "classes beyond the rate", "together",
    qos(
      "egress: {shape: {rate: 3mbit}, classes: [{name: v, match: {dscp: ef}, rate: 2mbit}, "
        + "{name: w, match: {dscp: af11}, rate: §2mbit}]}")),
  Broken(
    "a ceil beyond the rate", "more than the shaped",
    qos("egress: {shape: {rate: 3mbit}, classes: [{name: v, match: {dscp: ef}, rate: 2mbit, ceil: §4mbit}]}")),
  Broken(
    "a ceil below the rate", "less than",
    qos("egress: {shape: {rate: 3mbit}, classes: [{name: v, match: {dscp: ef}, rate: 2mbit, ceil: §1mbit}]}")),
  Broken(
    "two classes of one name", "second class",
    qos(
      "egress: {shape: {rate: 3mbit}, classes: [{name: v, match: {dscp: ef}, rate: 1mbit}, "
        + "{name: §v, match: {dscp: cs5}, rate: 1mbit}]}")),
  Broken(
    "a class called default", "has this name",
    qos("egress: {shape: {rate: 3mbit}, classes: [{name: §default, match: {dscp: ef}, rate: 1mbit}]}")),
  Broken("a bucket smaller than a packet", "1514b", qos("egress: {shape: {rate: 3mbit, burst: §1kb}}")),
  Broken("a code point that does not exist", "af11 to af43", qos("egress: {mark: [{dscp: §af51}]}")),
  Broken("a policer of two limits", "together", qos("ingress: {§police: {rate: 1mbit, packets: 100}}")),
  Broken("a burst of packets beside a rate", "expected a size", qos("ingress: {police: {rate: 1mbit, burst: §100}}")),
  Broken(
    "a burst of bytes beside packets", "number of packets", qos("ingress: {police: {packets: 100, burst: §64kb}}")),
  Broken("a per that does not exist", "one of `all`", qos("ingress: {police: {rate: 1mbit, per: §host}}")),
]

private let brokenPaths: [Broken] = [
  Broken("a path through a stranger", "expected one of its neighbors, `h`, `b`", path("§c")),
  Broken(
    "a hop that is no neighbor of the one before", "no neighbor of `b`; expected one of its neighbors, `a`, `c`",
    path("b, §h")),
  Broken("a path in a circle", "second time", path("b, §a")),
  Broken("a path through a switch", "switches are no hops", path("b, §s, c")),
  Broken("a path through a host", "passes nothing on", path("§h, b")),
  Broken("a path to a node that is not there", "unknown node", path("§z")),
  Broken("a hop by an interface that is elsewhere", "expected one of `eth1`", path("§\"b:eth2\"")),
  Broken("a path without a match", "no `match`", edge(", §path: {via: [b]}")),
  Broken(
    "two paths that chase each other", "in a loop with `path proto tcp port 80 via b` (line 6)",
    edge(", path: {match: {proto: tcp, port: 80}, via: [b]}", b: ", path: §{match: {proto: tcp}, via: [a]}")),
]

private let brokenFlowSpecs: [Broken] = [
  Broken("a flow specification without an action", "no `then`", flow("§{match: {to: 203.0.113.9}}")),
  Broken("a flow specification of everything", "empty", flow("{§match: {family: ipv4}, then: drop}")),
  Broken(
    "one flow twice", "second time",
    flow("{match: {to: 203.0.113.9}, then: drop}, §{match: {to: 203.0.113.9/32}, then: {rate: 1mbit}}")),
  Broken("a flow of two families", "one family", flow("{match: {from: 10.0.0.0/8, to: §\"fd01::/64\"}, then: drop}")),
  Broken("ports of a protocol that has none", "that has none", flow("{match: {proto: icmp, §port: 80}, then: drop}")),
  Broken("flags of udp", "`proto: tcp`", flow("{match: {proto: udp, §tcp-flags: syn}, then: drop}")),
  Broken(
    "a redirect into another family", "one family", flow("{match: {to: 203.0.113.9}, then: {redirect: §\"fd01::1\"}}")),
  Broken("drop beside a rate", "`drop` alone", flow("{match: {to: 203.0.113.9}, then: [{rate: 1mbit}, §drop]}")),
  Broken(
    "a flow specification on a host", "BGP",
    edge("").replacing("h: {kind: host}", with: "h: {kind: host, §flowspec: []}")),
  Broken(
    "a flow specification without BGP", "no `asn`",
    "name: t\ntopology:\n  nodes: {a: {kind: router, §flowspec: [{match: {proto: udp}, then: drop}]}}\n"),
]

private let brokenRoutes: [Broken] = [
  Broken("a hop of a route twice", "second time", edge(", routes: [{to: 10.9.0.0/16, via: [b, §203.0.113.2]}]")),
  Broken("a weight of 0", "from 1 to 256", edge(", routes: [{to: 10.9.0.0/16, via: {b: §0}}]")),
  Broken("one hop of several that is not there", "no link", edge(", routes: [{to: 10.9.0.0/16, via: [b, §c]}]")),
]

let brokenFunctions = brokenRoutes + brokenNAT + brokenFilters + brokenQoS + brokenPaths + brokenFlowSpecs

let brokenSteps: [Broken] = [
  Broken("a nat step on an unknown node", "did you mean `a`", steps("{nat: {node: §aa, flow: {from: h, to: b}}}")),
  Broken("a nat step without a flow", "no `flow`", steps("{§nat: {node: a}}")),
  Broken("a flow without a port", "no `port`", steps("{nat: {node: a, flow: §{from: h, to: b, proto: tcp}}}")),
  Broken(
    "a translation that is none", "`false`",
    steps("{nat: {node: a, flow: {from: h, to: b}}, expect: {translated: §true}}")),
  Broken(
    "a translated source of an untouched flow", "beside `translated: false`",
    steps("{nat: {node: a, flow: {from: h, to: b}}, expect: {translated: false, §source: 10.0.0.1}}")),
  Broken("a udp rate without an offer", "no `offer`", steps("{rate: §{from: h, to: b, proto: udp}}")),
  Broken(
    "a rate that must be less than its least", "less than `min`",
    steps("{rate: {from: h, to: b}, expect: {mbit: {min: 10, max: §9}}}")),
  Broken("a limit that does not exist", "shaping", steps("{rate: {from: h, to: b}, expect: {limited-by: §luck}}")),
  Broken("an apply of nothing", "empty", steps("{§apply: {}}")),
  Broken("an apply of a file that is not there", "cannot open", steps("{apply: §no-such.yaml}")),
  Broken(
    "a key that cannot change", "expected one of `nat`", steps("{apply: {topology: {nodes: {a: {§kind: host}}}}}")),
  Broken("an unknown node in an apply", "unknown node", steps("{apply: {topology: {nodes: {§zz: {nat: []}}}}}")),
  Broken(
    "an apply that the lab does not bear", "no interface `eth9`",
    steps("{apply: {topology: {nodes: {a: {nat: [{masquerade: {out: §eth9}}]}}}}}")),
  Broken(
    "a plan of what an earlier apply took away", "no policy `p`",
    steps("{apply: {policies: {p: null}}}, {plan: {policies: {§p: null}}}") + "\npolicies: {p: [{then: accept}]}"),
  Broken("within beside an apply", "done at once", steps("{apply: {topology: {nodes: {a: {nat: []}}}}, §within: 2s}")),
  Broken("a mesh without anything", "empty", steps("{apply: {topology: {nodes: {a: {nat: []}}}, §mesh: {}}}")),
  Broken("a version that is none", "`previous`", steps("{rollback: §0}")),
  Broken(
    "refused and applied", "one of them",
    steps("{apply: {topology: {nodes: {a: {nat: []}}}}, expect: {applied: §true, refused: eth9}}")),
]
