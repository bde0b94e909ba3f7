/// A CHANGE (contract section 6): what may be laid over a topology file while its lab runs.
enum ChangeKeys {
  /// Keys of a node that can change in a running lab.
  static let nodeKeys = ["nat", "qos", "filter", "path", "flowspec", "routes", "networks", "bgp", "congestion"]

  static let file = Record("a CHANGE", atLeastOne: ["topology", "policies", "mesh"], keys: keys)

  static let keys: [Key] = [
    Key("topology", .record(topology), "`nodes:` with the keys that change"),
    Key(
      "policies",
      .names(.policyName, .removable(PolicyKeys.statements), example: "own-only: [{otherwise: reject}]"),
      "policies that change, by name; `null` takes one away"),
    Key("mesh", .record(mesh), "the service mesh: its keys, and those of its services, that change"),
  ]

  /// Keys of `mesh` that can change in a running lab, beside those of its services.
  static let meshKeys = ["mtls", "routes", "authorization"]
  static let serviceKeys = ServiceKeys.policy.map(\.name)

  private static let mesh = Record(
    "`mesh` of a CHANGE", atLeastOne: meshKeys + ["services"],
    keys: meshKeys.compactMap { name in
      MeshKeys.mesh.key(name).map { Key(name, .removable($0.shape), "instead of all that stood there; \($0.doc)") }
    } + [
      Key(
        "services", .names(.name, .record(service), example: "web: {split: {v1: 80, v2: 20}}"),
        "the services that change, by name")
    ])

  private static let service = Record(
    "a service of a CHANGE", atLeastOne: serviceKeys,
    keys: ServiceKeys.policy.map { Key($0.name, .removable($0.shape), "instead of all that stood there; \($0.doc)") })

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
