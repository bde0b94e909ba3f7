/// The keys of a node, which are also those of `defaults:`.
enum NodeKeys {
  static let kinds = NodeKind.allCases.map(\.rawValue)

  static let node = Record("a node", keys: identity + PacketKeys.keys + processes + MeshKeys.pod + ContainerKeys.keys)
  static let defaults = Record(
    "`defaults`", keys: identity + PacketKeys.keys + processes + MeshKeys.pod + ContainerKeys.keys)

  /// Kinds a key means something for; a key that is not listed is for all. From `defaults:` a key is taken by the
  /// kinds it is for, written on another kind it is an error.
  static let kindsOfKey: [String: Set<NodeKind>] = [
    "asn": [.router, .bird, .frr, .gobgp, .openbgpd],
    "networks": [.router, .bird, .frr, .gobgp, .openbgpd],
    "loopback": [.router, .host, .pod, .registry, .bird, .frr, .gobgp, .openbgpd],
    "bgp": [.router],
    "route-reflector": [.router],
    "config": [.bird, .frr, .gobgp, .openbgpd],
    "routes": [.router, .host, .pod, .registry, .bird, .frr, .gobgp, .openbgpd],
    "congestion": [.router, .host, .pod, .registry, .bird, .frr, .gobgp, .openbgpd],
    "nat": stations,
    "filter": stations,
    "path": stations,
    "flowspec": [.router],
    "publish": stations,
    "service": [.pod],
    "version": [.pod],
    "sidecar": [.pod],
    "interception": [.pod],
    "image": [.host, .pod],
    "limits": [.host, .pod],
    "binds": [.host, .pod],
    "ready": [.host, .pod],
    "storage": [.registry],
  ]

  /// What has addresses of its own.
  private static let stations = Set(NodeKind.allCases.filter { $0 != .switch })

  /// Why a key means nothing on a kind, where the list of the others does not say it.
  static func reason(_ key: String, on kind: NodeKind) -> String? {
    switch (key, kind) {
    case ("nat", .switch), ("filter", .switch), ("path", .switch), ("flowspec", .switch):
      "a switch bridges frames and never looks at IP"
    case ("publish", .switch): "a switch has no address that a port could lead to"
    case ("flowspec", _): "flow specifications are spoken by netloom's own BGP"
    default: nil
    }
  }

  private static let identity: [Key] = [
    Key(
      "kind", .scalar(.word(kinds)),
      "a netloom router, a host, a pod (a host with a sidecar), a switch (Linux bridge), a registry of images, or a real "
        + "daemon"
    ),
    Key("asn", .scalar(.asn), "its autonomous system; a router without one runs no BGP"),
    Key(
      "networks", .list(.scalar(.prefix), example: "[203.0.113.0/24]"),
      "what it originates, and the only thing it originates"),
    Key(
      "loopback", .list(.scalar(.loopback), example: "[10.255.0.1/32]"),
      "addresses of lo; a family that is written replaces the allocated one"),
    Key("bgp", .record(bgp), "settings of its BGP speaker"),
    Key("route-reflector", .scalar(.bool), "the same as in `bgp:`"),
    Key("routes", .list(.record(route), example: "[{to: 198.18.0.0/15, via: isp1}]"), "static routes"),
    Key("config", .scalar(.text("a path")), "the daemon's own configuration, relative to the topology file"),
  ]

  private static let processes: [Key] = [
    Key(
      "exec", .list(.scalar(.text("a command")), example: "[\"ip route add ...\"]"),
      "run by /bin/sh -c in order to completion at the start"),
    Key(
      "cmd", .list(.scalar(.text("a command")), example: "[\"python3 -m http.server 80\"]"),
      "servers: supervised, restarted, logged; with `image`, one line of arguments for its entrypoint"),
    Key("env", .names(.environmentName, .scalar(.anyText), example: "{LANG: C}"), "environment of its processes"),
    Key(
      "labels", .names(.text("a label"), .scalar(.anyText), example: "{site: west}"),
      "for people and programs; netloom gives them no meaning"),
    Key(
      "sysctls", .names(.sysctl, .scalar(.text("a value")), example: "{net.ipv4.ip_default_ttl: 255}"),
      "kernel settings of its network namespace"),
    Key(
      "congestion", .scalar(.parsed("a name such as cubic", schema: .text("^[a-z0-9_]{1,15}$"), congestionName)),
      "TCP congestion control; cubic unless written"),
    Key(
      "neighbor-entries", .scalar(.word(["permanent", "learned"])),
      "permanent (the default): both ends of a point-to-point link know each other's MAC address from the start"),
  ]

  private static func congestionName(_ text: String) -> String? {
    let fine = text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 95 }
    return fine && (1...15).contains(text.utf8.count) ? text : nil
  }

  static let route = Record(
    "a route",
    keys: [
      Key("to", .scalar(.prefix), .required, "the destination, such as 198.18.0.0/15"),
      Key(
        "via",
        .either([
          .scalar(hop), .list(.scalar(hop), count: 1...64, example: "[isp1, isp2]"),
          .names(hop, .scalar(.integer(1...256)), example: "{isp1: 3, isp2: 1}"),
        ]), .required,
        "a node on a link, `NODE:INTERFACE`, or an address; several share the flows, by weight where it is written"),
    ])

  private static let hop = ScalarForm.address.or(.endpoint)

  static let timers = Record(
    "`timers`", atLeastOne: ["keepalive", "hold", "connect"],
    keys: [
      Key("keepalive", .scalar(.seconds), "seconds between KEEPALIVEs; a third of `hold` unless written"),
      Key("hold", .scalar(.seconds), "seconds without a message until the session ends; 0 or at least 3"),
      Key("connect", .scalar(.milliseconds), "time between attempts to connect"),
    ])

  static let bgp = Record(
    "`bgp`",
    keys: [
      Key("timers", .record(timers), "of all its sessions; 3, 9, 1 unless written, above 100 nodes 10, 30, 1"),
      Key("multipath", .scalar(.integer(1...64)), "equal paths used side by side"),
      Key("route-reflector", .scalar(.bool), "reflects routes between the other routers of its AS (RFC 4456)"),
      Key("cluster-id", .scalar(.ipv4Address), "of a route reflector; its router id unless written"),
      Key("router-id", .scalar(.ipv4Address), "its IPv4 loopback unless written"),
      Key("prefer-customer", .scalar(.bool), "local-pref by relation: customers over peers over providers"),
      Key(
        "neighbors", .names(.endpoint, .record(NeighborKeys.lab), example: "{isp1: {import: POLICY}}"),
        "overrides and additions: by node (all sessions with it) or NODE:INTERFACE of the far end"),
    ])
}
