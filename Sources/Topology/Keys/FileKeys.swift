/// The two files and the parts that belong to a file as a whole.
enum FileKeys {
  static let lab = Record(
    "a topology file",
    keys: [
      Key("name", .scalar(.name), .required, "the lab's name"),
      Key("addressing", .record(addressing), "where addresses that are not written come from"),
      Key("defaults", .record(NodeKeys.defaults), "any node key, for every node that does not write it"),
      Key("topology", .record(topology), .required, "`nodes:` and `links:`"),
      Key("policies", PolicyKeys.policies, "routing policies by name"),
      Key("tests", .withVariables(TestKeys.tests), "what must hold"),
      VariableKeys.onFile,
      Key(
        "drift", .scalar(.word(["repair", "report"])),
        "what becomes of nft and tc objects that others changed; report unless written"),
      Key("mesh", .record(MeshKeys.mesh), "the service mesh: services, and how their pods call each other"),
    ])

  /// `{topology: FILE, tests: [...]}`
  static let tests = Record(
    "a tests file",
    keys: [
      Key("topology", .scalar(.text("the path of a topology file")), .required, "the lab the tests are for"),
      Key("tests", .withVariables(TestKeys.tests), .required, "what must hold"),
      VariableKeys.onFile,
    ])

  static let speaker = Record(
    "a speaker file",
    keys: [
      Key("asn", .scalar(.asn), .required, "our autonomous system"),
      Key("router-id", .scalar(.ipv4Address), .required, "unique among the speakers it meets"),
      Key("fib", .scalar(.bool), "write best routes into the kernel, table main; false unless written"),
      Key("networks", .list(.scalar(.prefix), example: "[203.0.113.0/24]"), "what it originates"),
      Key("policies", PolicyKeys.policies, "routing policies by name"),
      Key("timers", .record(NodeKeys.timers), "of all neighbors; keepalive 30, hold 90, connect 1 unless written"),
      Key("multipath", .scalar(.integer(1...64)), "equal paths used side by side"),
      Key("cluster-id", .scalar(.ipv4Address), "of a route reflector; the router id unless written"),
      Key("listen-port", .scalar(.integer(1...65535)), "179 unless written"),
      Key(
        "neighbors", .list(.record(NeighborKeys.speaker), example: "[{address: 192.0.2.1, asn: 64496}]"), "its peers"),
    ])

  private static let pool = Shape.list(.scalar(.prefix), count: 1...2, example: "[10.0.0.0/16, \"fd00:10::/32\"]")

  private static let addressing = Record(
    "`addressing`",
    keys: [
      Key("links", pool, "one pool per family: /31 and /127 per link, /24 and /64 per switch"),
      Key("loopbacks", pool, "one pool per family: /32 and /128 per router"),
      Key("ipv4", .scalar(.bool), "false: a lab without IPv4"),
      Key("ipv6", .scalar(.bool), "false: a lab without IPv6"),
    ])

  private static let topology = Record(
    "`topology`",
    keys: [
      Key(
        "nodes", .names(.name, .record(NodeKeys.node), example: "r1: {kind: router, asn: 64500}"), .required,
        "the nodes by name"),
      Key("links", .list(.record(link), example: "[{endpoints: [r1, r2]}]"), "the links between them"),
    ])

  private static let addresses = Shape.list(
    .list(.scalar(.interfaceAddress), example: "[192.0.2.1/30]"), count: 2...2,
    example: "[[192.0.2.1/30], [192.0.2.2/30]]")

  static let link = Record(
    "a link",
    keys: [
      Key(
        "endpoints", .list(.scalar(.endpoint), count: 2...2, example: "[\"r1:eth1\", \"r2:eth1\"]"), .required,
        "its two ends, `NODE:INTERFACE` or `NODE`"),
      Key("addresses", addresses, "one list per end; a family not written is allocated"),
      Key(
        "relation", .scalar(.word(LinkRelation.allCases.map(\.rawValue))),
        "what the ASes are to each other, the first end first"),
      Key("roles", .scalar(.bool), "false: the relation without RFC 9234 roles and OTC"),
      Key("mtu", .scalar(.integer(68...65535)), "1500 unless written"),
      Key("cost", .scalar(.integer(1...16_777_215)), "for shortest paths inside an AS; 1 unless written"),
      Key("delay", .scalar(.delay), "of every packet, each way; 0 for a link that only a fault delays"),
      Key("jitter", .scalar(.delay), "how much the delay varies, at most the delay itself"),
      Key("loss", .scalar(.percent), "packets lost at random, each way"),
      Key("rate", .scalar(.rate), "what it carries at most, each way"),
    ])
}
