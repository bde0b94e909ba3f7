/// How a service of `mesh:` is treated: what a CHANGE may alter of it.
enum ServiceKeys {
  /// Ranges that the reader holds values against, in milliseconds.
  static let times: ClosedRange<UInt64> = 1...3_600_000

  static let policy: [Key] = [
    Key(
      "split", .names(.name, .scalar(.integer(0...1_000_000)), example: "{v1: 80, v2: 20}"),
      "how much each version gets, in place of the weights of its routes, until the next `mesh split`"),
    Key(
      "balance", .scalar(.word(["least-request", "round-robin", "ewma", "ring-hash"])),
      "least-request (of two, unless written), round-robin, ewma (latency times requests under way) or ring-hash"),
    Key("hash", .record(hash), "what `balance: ring-hash` goes by; the client's address unless written"),
    Key(
      "locality", .scalar(.word(["nearest", "any"])),
      "nearest (unless written): pods that are nearer by BGP first; any: all alike"),
    Key("limits", .record(limits), "of each client's sidecar; beyond them it answers 503"),
    Key("outlier", .record(outlier), "leave out a pod that answers with errors one after the other"),
    Key("timeouts", .record(timeouts), "of requests whose route says none"),
    Key("retries", .record(retries), "of requests whose route says none"),
    Key("mirror", .record(mirror), "copies of requests whose route mirrors nothing; their answers are thrown away"),
    Key("fault", .record(fault), "delay requests, or answer them with an error, on purpose"),
    Key("rate-limit", .scalar(.integer(1...1_000_000)), "requests a second that each pod takes; 429 beyond"),
    Key("health", .record(health), "how its pods are asked whether they can serve; unless written: their programs run"),
  ]

  private static let percent = ScalarForm.integer(0...100)
  private static let count = ScalarForm.integer(0...1_000_000)

  private static let hash = Record(
    "`hash`", keys: [Key("header", .scalar(.text("a header field's name")), .required, "the field whose value counts")])

  private static let limits = Record(
    "`limits`", atLeastOne: ["connections", "pending", "requests"],
    keys: [
      Key("connections", .scalar(count), "to the service's pods"),
      Key("pending", .scalar(count), "requests that wait for a connection"),
      Key("requests", .scalar(count), "requests under way"),
    ])

  private static let outlier = Record(
    "`outlier`",
    keys: [
      Key("errors", .scalar(.integer(1...1000)), "5xx answers or failed connections in a row; 5 unless written"),
      Key("ejection", .scalar(.time), "for how long, times the number of ejections so far; 30s unless written"),
      Key("at-most", .scalar(percent), "of the pods, in percent; one may always be left out; 50 unless written"),
    ])

  private static let timeouts = Record(
    "`timeouts`", atLeastOne: ["connect", "request", "attempt"],
    keys: [
      Key("connect", .scalar(.time), "until a connection stands; 5s unless written"),
      Key("request", .scalar(.time), "the whole request with all its attempts"),
      Key("attempt", .scalar(.time), "one attempt, up to the head of its response"),
    ])

  private static let retries = Record(
    "`retries`",
    keys: [
      Key("attempts", .scalar(.integer(0...100)), "beyond the first; 1 unless written"),
      Key(
        "codes", .list(.scalar(.integer(400...599)), example: "[502, 503]"),
        "statuses after which an idempotent request is sent again; a connection that fails is a reason always"),
      Key("backoff", .scalar(.time), "before the first, doubled for each further one; 25ms unless written"),
      Key("budget", .scalar(percent), "repetitions in percent of the requests under way; 20 unless written"),
    ])

  private static let mirror = Record(
    "`mirror`",
    keys: [
      Key("to", .scalar(.reference("a service or a version of one")), .required, "who gets the copies"),
      Key("percent", .scalar(percent), "of the requests; 100 unless written"),
    ])

  private static let fault = Record(
    "`fault`", atLeastOne: ["delay", "abort"],
    keys: [
      Key("delay", .scalar(.time), "how long requests wait"),
      Key("delay-percent", .scalar(percent), "of the requests; 100 unless written"),
      Key("abort", .scalar(.integer(200...599)), "the status of the answer"),
      Key("abort-percent", .scalar(percent), "of the requests; 100 unless written"),
    ])

  private static let health = Record(
    "`health`",
    keys: [
      Key("path", .scalar(.text("a path such as /healthz")), "what is got; unless written a connection is enough"),
      Key("interval", .scalar(.time), "1s unless written"),
      Key("timeout", .scalar(.time), "500ms unless written"),
      Key("failures", .scalar(.integer(1...100)), "in a row that take a pod out; 3 unless written"),
      Key("successes", .scalar(.integer(1...100)), "in a row that bring it back; 1 unless written"),
    ])
}
