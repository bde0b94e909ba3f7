/// Settings of one BGP neighbor, shared by the lab file and the speaker file.
enum NeighborKeys {
  /// Said from this node's side, since under a neighbor there is no first end.
  static let relations = [
    "customer-provider", "provider-customer", "peer-peer", "sibling", "route-server", "route-server-client", "open",
  ]

  /// `customer-provider`: this node is the customer, as the first end of a link is.
  static func role(_ word: String) -> Role? {
    switch word {
    case "provider-customer": .provider
    case "route-server-client": .routeServer
    default: LinkRelation(rawValue: word)?.role
    }
  }

  private static let policy = Shape.scalar(.text("the name of a policy, `accept` or `reject`"))

  private static let common: [Key] = [
    Key("import", policy, "policy for what it sends us"),
    Key("export", policy, "policy for what we send it"),
    Key(
      "relation", .scalar(.word(relations)),
      "what the two ASes are to each other, this node first: customer-provider makes it the customer"),
    Key("roles", .scalar(.bool), "false: the relation without RFC 9234 roles and OTC"),
    Key("md5", .scalar(.md5), "TCP-MD5 password (RFC 2385)"),
    Key("ttl-security", .scalar(.bool), "accept only packets with TTL 255 (RFC 5082)"),
    Key("max-prefix", .scalar(.integer(1...Int(UInt32.max))), "more prefixes than this end the session"),
    Key("next-hop-self", .scalar(.bool), "send ourselves as next hop; true on iBGP unless written"),
    Key(
      "graceful-restart", .scalar(.integer(0...4095).or(.bool)),
      "seconds the neighbor keeps our routes (RFC 4724); 120 unless written, false turns it off"),
    Key(
      "remove-private-as", .scalar(.word(["true", "false", "all", "replace"])),
      "take private AS numbers out of paths sent: `true` from all-private paths, `all` always, `replace` by ours"),
    Key("allow-own-as", .scalar(.integer(0...10)), "accept paths that hold our AS this many times"),
    Key("send-communities", .scalar(.bool), "true unless written"),
    Key(
      "flowspec", .scalar(.bool),
      "exchange flow rules (RFC 8955) on the session; between netloom routers of a lab true unless written, with others false"
    ),
    Key("passive", .scalar(.bool), "wait for its connection"),
    Key("timers", .record(NodeKeys.timers), "of this neighbor's sessions"),
    .notYet("add-path", "several paths per prefix"),
  ]

  static let families = Shape.list(
    .scalar(.word(["ipv4", "ipv6"])), count: 1...2, example: "[ipv4, ipv6]")

  static let lab = Record(
    "a neighbor",
    keys: common + [
      Key(
        "sessions", .list(.scalar(.word(["ipv4", "ipv6"])), example: "[ipv4, ipv6]"),
        "one session per family named, instead of one for both; an empty list: no session")
    ])

  static let speaker = Record(
    "a neighbor",
    keys: [
      Key("name", .scalar(.text("a name")), "for logs and `match: {neighbor}`; its address unless written"),
      Key("address", .scalar(.address), .required, "where it is"),
      Key("asn", .scalar(.asn), .required, "its autonomous system"),
      Key("local-address", .scalar(.address), "ours; by route lookup unless written"),
      Key("families", families, "both unless written"),
      Key("route-reflector-client", .scalar(.bool), "reflect routes to it (RFC 4456)"),
      Key("multihop", .scalar(.bool), "an eBGP neighbor that is not on a link of ours"),
      Key("port", .scalar(.integer(1...65535)), "its TCP port; 179 unless written"),
    ] + common)
}
