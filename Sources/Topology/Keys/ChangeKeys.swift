/// A CHANGE (contract section 6): what may be laid over a topology file while its lab runs.
enum ChangeKeys {
  /// Keys of a node that can change in a running lab.
  static let nodeKeys = ["nat", "qos", "filter", "path", "flowspec", "routes", "networks", "bgp", "congestion"]

  static let file = Record("a CHANGE", atLeastOne: ["topology", "policies"], keys: keys)

  static let keys: [Key] = [
    Key("topology", .record(topology), "`nodes:` with the keys that change"),
    Key(
      "policies",
      .names(.policyName, .removable(PolicyKeys.statements), example: "own-only: [{otherwise: reject}]"),
      "policies that change, by name; `null` takes one away"),
    .notYet("mesh", "the service mesh"),
  ]

  private static let topology = Record(
    "`topology` of a CHANGE",
    keys: [
      Key(
        "nodes", .names(.name, .record(node), example: "r1: {nat: [{masquerade: {out: eth1}}]}"), .required,
        "the nodes that change, by name")
    ])

  private static let node = Record(
    "a node of a CHANGE", atLeastOne: nodeKeys,
    keys: nodeKeys.compactMap { name in
      NodeKeys.node.key(name).map { Key(name, .removable($0.shape), "instead of all that stood there; \($0.doc)") }
    })
}
