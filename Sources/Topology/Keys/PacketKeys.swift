/// `nat`, `filter`, `path`, `publish` of a node.
enum PacketKeys {
  static let keys: [Key] = [
    Key("nat", nat, "address translation; in order, the first that matches wins"),
    Key("filter", filter, "a stateful filter; in order, the first that matches wins; replies of accepted flows pass"),
    Key("qos", QoSKeys.qos, "shaping, classes and marking on the way out, policing on arrival, by interface"),
    Key("path", path, "the way of some traffic, node by node, whatever the routes say"),
    Key("flowspec", FlowSpecKeys.rules, "flow specifications it originates and obeys (RFC 8955)"),
    Key(
      "publish", .list(.scalar(.published), example: "[\"8080:80\"]"),
      "TCP ports of the machine's loopback that reach ports of the node"),
  ]

  // MARK: NAT

  private static let nat = Shape.list(.record(natRule), example: "[{masquerade: {out: eth1}}]")

  static let natWords = ["snat", "dnat", "map", "masquerade", "zone"]

  private static let natRule = Record(
    "a nat rule", exactlyOne: natWords,
    keys: [
      Key("snat", .record(snat), "another source, of a pool"),
      Key("dnat", .record(dnat), "another destination: a port forward"),
      Key("map", .record(map), "1:1, both ways"),
      Key("masquerade", .record(masquerade), "the source becomes the address of the interface they leave by"),
      Key("zone", .record(zone), "equal addresses behind several interfaces, told apart"),
    ])

  private static let sourceMatch = ["out", "from", "destination", "proto", "port"]

  private static let sourcePorts = Key(
    "ports", .scalar(.ports), "source ports to choose from; the kernel's choice unless written")

  private static let snat = Record(
    "`snat`", atLeastOne: sourceMatch,
    keys: MatchKeys.keys(sourceMatch) + [
      Key("to", .scalar(.pool), .required, "the source written instead: an address, `A-B` or a prefix"),
      sourcePorts,
      Key("persistent", .scalar(.bool), "true: a client keeps its address of the pool"),
      Key("random", .scalar(.bool), "true: source ports are chosen at random"),
    ])

  private static let masquerade = Record(
    "`masquerade`", atLeastOne: sourceMatch,
    keys: MatchKeys.keys(sourceMatch) + [sourcePorts, Key("random", .scalar(.bool), "true: ports at random")])

  private static let dnat = Record(
    "`dnat`",
    keys: MatchKeys.keys(["in", "from", "proto", "port"]) + [
      Key(
        "address", MatchKeys.oneOrMore(.prefixOrAddress, example: "[203.0.113.10]"),
        "addresses that are translated; the own ones of `in` unless written"),
      Key("to", .scalar(.forwardTarget), .required, "the server, with its port where that differs"),
      Key("hairpin", .scalar(.bool), "true: also for clients on the server's own side"),
    ])

  private static let map = Record(
    "`map`",
    keys: [
      Key("inside", .scalar(.prefixOrAddress), .required, "the prefix as the node's own side knows it"),
      Key("outside", .scalar(.prefixOrAddress), .required, "the prefix of the same length that others see"),
    ])

  private static let zone = Record(
    "`zone`",
    keys: [
      Key("in", MatchKeys.oneOrMore(.interface, example: "[eth2]"), .required, "interfaces of the zone"),
      Key("id", .scalar(.integer(1...65535)), .required, "its number in the conntrack table"),
    ])

  // MARK: Filter

  private static let verdict = Shape.scalar(.word(FilterRule.Verdict.allCases.map(\.rawValue)))

  private static let filterMatch = [
    "in", "out", "from", "to", "proto", "port", "source-port", "state", "connections-over", "dscp",
  ]

  private static let filter = Shape.list(
    .record(
      Record(
        "a filter rule", exactlyOne: ["match", "otherwise"],
        keys: [
          Key("match", .record(MatchKeys.match(filterMatch)), "packets it is for"),
          Key("then", verdict, "what becomes of them"),
          Key("otherwise", verdict, "what becomes of all that no rule matches; the last entry"),
        ])), example: "[{match: {in: eth1, proto: tcp, port: 80}, then: accept}, {otherwise: drop}]")

  // MARK: Path

  private static let pathRule = Record(
    "`path`",
    keys: [
      Key(
        "match", .record(MatchKeys.match(["in", "from", "to", "proto", "port", "source-port", "dscp"])), .required,
        "packets it is for"),
      Key(
        "via", .list(.scalar(.endpoint), count: 1...64, example: "[r2, r3]"), .required,
        "the nodes they pass, each a neighbor of the one before; `NODE:INTERFACE` picks one of several links"),
    ])

  private static let path = Shape.either([
    .list(.record(pathRule), example: "[{match: {proto: tcp, port: 80}, via: [r2]}]"), .record(pathRule),
  ])
}
