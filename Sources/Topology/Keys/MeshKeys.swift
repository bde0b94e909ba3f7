/// `mesh:`, and what a pod says of itself (contract section 7).
enum MeshKeys {
  static let mesh = Record(
    "`mesh`",
    keys: [
      Key(
        "mtls", .scalar(.word(MeshSettings.MutualTLS.allCases.map(\.rawValue))),
        "between sidecars: strict refuses plain text, permissive (unless written) takes both, off encrypts nothing"),
      Key(
        "addresses", .list(.scalar(.prefix), count: 1...2, example: "[10.254.0.0/16, \"fd00:254::/64\"]"),
        "where services get their addresses from, one pool per family"),
      Key(
        "services", .names(.name, .record(service), example: "web: {port: 80, target: 8080, protocol: http}"),
        .required,
        "the services by name; a name resolves in every node"),
      Key(
        "routes", .list(.scalar(.text("a path")), example: "[web-split.yaml]"),
        "files of Gateway API HTTPRoute and GRPCRoute manifests of a Service, relative to the topology file"
      ),
      Key(
        "authorization", .list(.record(authorization), example: "[{to: web, allow: [client]}]"),
        "who may call a service, by the service it is itself; a service that no rule names takes all"),
      Key(
        "tracing", .record(tracing),
        "sidecars send a span of each request; read when a sidecar starts"),
    ])

  private static let tracing = Record(
    "`tracing`",
    keys: [
      Key(
        "otlp", .scalar(.collector), .required,
        "a collector that takes spans by OTLP/HTTP, on a node of the lab or by its address"),
      Key(
        "sampling", .scalar(.percent),
        "how many of the traces that begin at a sidecar are recorded; 100% unless written"),
    ])

  private static let service = Record("a service", keys: places + ServiceKeys.policy)

  /// What stays as `up` made it.
  private static let places = [
    Key("port", .scalar(.integer(1...65535)), .required, "where clients reach it"),
    Key("target", .scalar(.integer(1...65535)), "where its pods listen; `port` unless written"),
    Key(
      "protocol", .scalar(.word(MeshService.ApplicationProtocol.allCases.map(\.rawValue))),
      "http, http2, grpc or tcp (opaque, unless written); never guessed from the bytes"),
    Key(
      "announce", .list(.scalar(.reference("a router")), example: "[edge1]"),
      "routers that originate its address by BGP and pass what comes to the pods on their links"),
  ]

  private static let authorization = Record(
    "an authorization",
    keys: [
      Key("to", .scalar(.reference("a service")), .required, "who is called"),
      Key(
        "allow", .list(.scalar(.reference("a service")), example: "[client]"), .required,
        "who may call: services, or pods that belong to none"),
    ])

  static let pod: [Key] = [
    Key("service", .scalar(.name), "the service of `mesh:` that the pod belongs to"),
    Key("version", .scalar(.name), "which version of the service it runs; SERVICE-VERSION names all pods of one"),
    Key(
      "sidecar", .scalar(.word(PodSettings.Sidecar.allCases.map(\.rawValue))),
      "netloom (unless written), envoy (from the PATH of `up`), or none: a gRPC program that speaks xDS itself"),
    Key(
      "interception", .scalar(.word(PodSettings.Interception.allCases.map(\.rawValue))),
      "how its sidecar gets what comes for the service: redirect (unless written), or tproxy, by which the program sees "
        + "its client's address as its peer's (Netloom's sidecar only)"),
  ]
}
