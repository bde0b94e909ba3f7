import NetTypes

/// `tests:` (contract section 4).
enum TestKeys {
  static let tests = Shape.list(.record(test), example: "[{name: it works, steps: [...]}]")

  static let test = Record(
    "a test", atLeastOne: ["steps", "check"],
    keys: [
      Key("name", .scalar(.text("a sentence about what holds")), .required, "unique in the file"),
      Key(
        "steps", .list(.record(step), count: 1...10_000, example: "[{trace: {from: h1, to: h2}}]"),
        "what is done and expected, in order"),
      Key("check", check, "verdicts on the whole lab, after the steps"),
      Key(
        "always", .list(.record(alwaysStep), count: 1...64, example: "[{check: no-loops}]"),
        "what holds from before the first step until after the last"),
      Key("repeat", .scalar(.integer(1...10_000)), "how often it is carried out; once unless written"),
    ] + VariableKeys.onTest)

  /// The words that make a step.
  static let words = [
    "trace", "no-transit", "route", "session", "exec", "fault", "nat", "rate", "traffic", "check", "plan", "apply",
    "rollback", "parallel",
  ]

  /// What can be asked again and again while the steps of a test go on, or runs beside them.
  private static let alwaysWords = ["trace", "no-transit", "route", "session", "traffic", "check"]

  private static let check = Shape.either([
    .scalar(.word(CheckStep.known)),
    .list(.scalar(.word(CheckStep.known)), count: 1...CheckStep.known.count, example: "[no-loops, symmetric]"),
  ])

  private static let wordKeys: [Key] = [
    Key("trace", .record(trace), "a real flow and its path, from captures"),
    Key("no-transit", noTransit, "no route and no packet crosses its AS between two other ASes"),
    Key("route", .record(route), "what a router has for exactly this prefix"),
    Key("session", .record(session), "the state of a BGP session"),
    Key("exec", .record(exec), "a command in a node"),
    Key("fault", FaultKeys.fault, "break or mend something"),
    Key("nat", .record(TrafficKeys.nat), "a flow, and what a node's conntrack table says of it"),
    Key("rate", .record(TrafficKeys.rate), "throughput, and what limited it, from the packets"),
    Key("traffic", .record(TrafficKeys.traffic), "load beside the steps that follow, judged when it ends"),
    Key("check", check, "verdicts on the whole lab"),
    Key("plan", ChangeStepKeys.plan, "what a CHANGE would do"),
    Key("apply", ChangeStepKeys.apply, "a CHANGE, on all nodes or none"),
    Key("rollback", ChangeStepKeys.rollback, "an earlier version of the lab"),
  ]

  // What may be expected depends on the step's word: `expectations` below.
  private static let expect = Key("expect", .record(anyExpectation), "what must hold")
  private static let within = Key("within", .scalar(.time), "retried until it holds or this time is over")

  /// Lists at the same time hold no further ones.
  private static let plainStep = Record(
    "a step", exactlyOne: words.filter { $0 != "parallel" }, keys: wordKeys + [expect, within])

  private static let step = Record(
    "a step", exactlyOne: words,
    keys: wordKeys + [
      Key(
        "parallel",
        .list(
          .list(.record(plainStep), count: 1...1000, example: "[{trace: {from: h1, to: h2}}]"), count: 2...16,
          example: "[[{trace: {from: h1, to: h2}}], [{fault: {kill: r1}}]]"),
        "lists of steps, carried out at the same time"),
      expect, within,
    ])

  private static let alwaysStep = Record(
    "an `always` step", exactlyOne: alwaysWords,
    keys: wordKeys.filter { alwaysWords.contains($0.name) } + [expect])

  static let node = Shape.scalar(.reference("a node"))

  private static let trace = Record(
    "a trace",
    keys: [
      Key("from", node, .required, "the node that sends"),
      Key("to", .scalar(.reference("a node, `NODE:INTERFACE` or an address")), .required, "where it goes"),
      Key("proto", .scalar(.word(["icmp", "tcp", "udp"])), "icmp unless written"),
      Key("port", .scalar(.integer(1...65535)), "of tcp and udp"),
      Key("family", .scalar(.word(["ipv4", "ipv6"])), "IPv4 where both ends have it"),
      Key("count", .scalar(.integer(1...10_000)), "probes, or flows of tcp"),
    ])

  private static let noTransit = Shape.either([
    node,
    .record(
      Record(
        "`no-transit`",
        keys: [
          Key("node", node, .required, "a router of the AS"),
          Key("except", .scalar(.word(["customers"])), "a provider carries its customers' traffic"),
        ])),
  ])

  private static let route = Record(
    "a route step",
    keys: [
      Key("node", node, .required, "the router"),
      Key("prefix", .scalar(.prefix), .required, "exactly this prefix"),
    ])

  private static let session = Record(
    "a session step",
    keys: [
      Key("node", node, .required, "the router"),
      Key("neighbor", .scalar(.endpoint), .required, "the far node, or NODE:INTERFACE of the far end"),
    ])

  private static let exec = Record(
    "an exec step",
    keys: [
      Key("node", node, .required, "where it runs"),
      Key("command", .scalar(.text("a command")), .required, "for /bin/sh -c"),
    ])

  private static let path = Shape.list(node, example: "[h1, r1, h2]")

  private static let expectTrace: [Key] = [
    Key("reachable", .scalar(.bool), "the handshake finished, or an answer came back"),
    Key("forward", path, "the nodes on the way there"),
    Key("return", path, "the nodes on the way back"),
    Key("symmetric", .scalar(.bool), "the way back uses the same links"),
  ]
  private static let expectRoute: [Key] = [
    Key("present", .scalar(.bool), "best in Loc-RIB and in the kernel"),
    Key("as-path", .list(.scalar(.asn), example: "[64496, 64500]"), "of the best path"),
    Key("next-hop", .scalar(.reference("a node or an address")), "of the best path"),
    Key(
      "next-hops", .list(.scalar(.reference("a node or an address")), count: 1...64, example: "[r2, r3]"),
      "of all paths in use"),
    Key("best-because", .scalar(.word(RouteStep.reasons)), "the rule that decided"),
  ]
  private static let expectSession: [Key] = [
    Key("state", .scalar(.word(SessionStep.State.allCases.map(\.rawValue))), "of the session machine")
  ]
  private static let expectExec: [Key] = [
    Key("exit", .scalar(.integer(0...255)), "the exit code"),
    Key("output", .scalar(.text("text, or a /regular expression/")), "what stdout contains"),
  ]

  private static let expectationsByWord: [String: [Key]] = [
    "trace": expectTrace, "route": expectRoute, "session": expectSession, "exec": expectExec,
    "nat": TrafficKeys.expectNAT, "rate": TrafficKeys.expectRate, "traffic": TrafficKeys.expectTraffic,
    "plan": ChangeStepKeys.expectPlan, "apply": ChangeStepKeys.expectApply,
  ]

  /// A key of several words means the same in each.
  private static let anyExpectation = Record(
    "`expect`",
    keys: words.flatMap { expectationsByWord[$0] ?? [] }.reduce(into: []) { keys, key in
      if !keys.contains(where: { $0.name == key.name }) { keys.append(key) }
    })

  /// Keys of `expect:` for a step's word; none for the words that take no expectation.
  static func expectations(of word: String) -> [String] { expectationsByWord[word]?.map(\.name) ?? [] }

  static func isExpectation(_ key: String) -> Bool { anyExpectation.key(key) != nil }
}
