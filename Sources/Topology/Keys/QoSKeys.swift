/// `qos:` of a node.
enum QoSKeys {
  static let qos = Shape.names(.interface, .record(interface), example: "eth1: {egress: {shape: {rate: 10mbit}}}")

  private static let interface = Record(
    "the `qos` of an interface", atLeastOne: ["egress", "ingress"],
    keys: [
      Key("egress", .record(egress), "what leaves by it"),
      Key("ingress", .record(ingress), "what comes in by it"),
    ])

  private static let matchNames = ["from", "to", "proto", "port", "source-port", "dscp"]
  private static let match = Shape.record(MatchKeys.match(matchNames))

  private static let limit = Key("limit", .scalar(.size), "the longest queue; computed from the rate unless written")

  private static let egress = Record(
    "`egress`", atLeastOne: ["shape", "mark"],
    keys: [
      Key("shape", .record(shape), "the rate of the interface: what is over it waits"),
      Key(
        "classes",
        .list(.record(trafficClass), count: 1...64, example: "[{name: voice, match: {dscp: ef}, rate: 2mbit}]"),
        "parts of the shaped rate, in order; what no class matches has the rest, and may borrow all"),
      Key("mark", .list(.record(marking), example: "[{match: {proto: udp}, dscp: ef}]"), "DSCPs written, in order"),
    ])

  private static let shape = Record(
    "`shape`",
    keys: [
      Key("rate", .scalar(.rate), .required, "such as 10mbit"),
      Key("burst", .scalar(.size), "what may go at once; computed from the rate unless written"),
      limit,
      Key(
        "ecn", .scalar(.bool),
        "true: queues mark packets instead of dropping them (RFC 3168); needs codel in the kernel"),
    ])

  private static let trafficClass = Record(
    "a class",
    keys: [
      Key("name", .scalar(.className), .required, "unique on its interface"),
      Key("match", match, .required, "packets it is for"),
      Key("rate", .scalar(.rate), .required, "guaranteed"),
      Key("ceil", .scalar(.rate), "the most it may borrow up to; the shaped rate unless written"),
      Key("priority", .scalar(.integer(0...7)), "0 borrows first, 7 last; 7 unless written"),
      limit,
    ])

  private static let marking = Record(
    "a mark",
    keys: [
      Key("match", match, "packets it is for; all unless written"),
      Key("dscp", .scalar(.dscp), .required, "the code point written"),
    ])

  private static let policer = Record(
    "`police`", exactlyOne: ["rate", "packets"],
    keys: [
      Key("rate", .scalar(.rate), "such as 5mbit: what is over it is dropped on arrival"),
      Key("packets", .scalar(.integer(1...10_000_000)), "packets a second, instead of a rate"),
      Key("burst", .scalar(.size.or(.integer(1...10_000_000))), "a size beside `rate`, a number beside `packets`"),
      Key("per", .scalar(.word(Policer.Per.allCases.map(\.rawValue))), "one bucket for all (unless written), or each"),
      Key("match", match, "packets it is for; all unless written"),
    ])

  private static let ingress = Record(
    "`ingress`",
    keys: [
      Key(
        "police", .either([.list(.record(policer), count: 1...1000, example: "[{rate: 5mbit}]"), .record(policer)]),
        .required, "what is over the rate is dropped")
    ])
}
