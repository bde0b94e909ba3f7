/// Test steps that send packets beside `trace`: `nat`, `rate` and `traffic`.
enum TrafficKeys {
  private static let target = Shape.scalar(.reference("a node, `NODE:INTERFACE` or an address"))
  private static let family = Key("family", .scalar(.word(["ipv4", "ipv6"])), "IPv4 where both ends have it")
  private static let port = Shape.scalar(.integer(1...65535))

  private static let flow = Record(
    "`flow`",
    keys: [
      Key("from", TestKeys.node, .required, "the node that sends"),
      Key("to", target, .required, "where it goes"),
      Key("proto", .scalar(.word(TraceStep.Transport.allCases.map(\.rawValue))), "icmp unless written"),
      Key("port", port, "of tcp and udp"),
      family,
    ])

  static let nat = Record(
    "a nat step",
    keys: [
      Key("node", TestKeys.node, .required, "the node whose conntrack table is read"),
      Key("flow", .record(flow), .required, "what is sent"),
    ])

  static let rate = Record(
    "a rate step",
    keys: [
      Key("from", TestKeys.node, .required, "the node that sends"),
      Key("to", target, .required, "where it goes"),
      Key("proto", .scalar(.word(RateStep.Transport.allCases.map(\.rawValue))), "tcp unless written"),
      Key("port", port, "5201 unless written"),
      Key("for", .scalar(.time), "how long; 10s unless written"),
      Key("offer", .scalar(.rate), "what is sent; as much as goes unless written, and udp must say it"),
      Key("rate", .scalar(.rate), "the same as `offer`"),
      Key("dscp", .scalar(.dscp), "of the packets; be unless written"),
      family,
    ])

  /// What the numbers and times in a datagram leave room for, and what one holds.
  static let payloads = 24...65_000

  static let traffic = Record(
    "a traffic step",
    keys: [
      Key("from", TestKeys.node, .required, "the node that sends"),
      Key("to", target, .required, "where it goes"),
      Key("proto", .scalar(.word(["udp", "tcp", "icmp"])), "udp unless written"),
      Key("port", port, "of tcp and udp; 5202 unless written"),
      Key("rate", .scalar(.rate), "what is sent of payload"),
      Key("packets-per-second", .scalar(.integer(1...100_000)), "datagrams, or records of tcp; instead of `rate`"),
      Key("payload", .scalar(ScalarForm.integer(payloads).or(.size)), "bytes of a datagram, or of a record of tcp"),
      Key("for", .scalar(.time), "how long; until the test ends unless written"),
      Key("dscp", .scalar(.dscp), "of the packets; be unless written"),
      family,
    ])

  static let expectNAT: [Key] = [
    Key(
      "translated", .scalar(.address.or(.word(["false"]))),
      "the address written instead, whichever end it replaced; false: the flow passes untouched"),
    Key("source", .scalar(.address), "the source written instead"),
    Key("destination", .scalar(.address), "the destination written instead"),
    Key("reachable", .scalar(.bool), "the handshake finished, or an answer came back"),
  ]

  private static let mbit = bounds("mbit", .decimal)

  private static let delay = bounds("delay", .time)

  static let expectTraffic: [Key] = [
    Key("reachable", .scalar(.bool), "something arrives"),
    Key("lost", .record(atMost("lost", .integer(0...Int(UInt32.max)), "packets lost")), "sent and never received"),
    Key("loss", .record(bounds("loss", .percent)), "the part of the packets that is lost"),
    Key("outage", .record(atMost("outage", .time, "the longest")), "time without a packet"),
    Key("mbit", .record(mbit), "payload received, in Mbit/s"),
    Key("delay", .record(delay), "of the median packet, one way"),
  ]

  private static func bounds(_ noun: String, _ form: ScalarForm) -> Record {
    Record(
      "`\(noun)`", atLeastOne: ["min", "max"],
      keys: [Key("min", .scalar(form), "at least"), Key("max", .scalar(form), "at most")])
  }

  private static func atMost(_ noun: String, _ form: ScalarForm, _ doc: String) -> Record {
    Record("`\(noun)`", keys: [Key("max", .scalar(form), .required, doc)])
  }

  static let expectRate: [Key] = [
    Key("mbit", .record(mbit), "payload received, in Mbit/s"),
    Key("limited-by", .scalar(.word(RateStep.LimitedBy.allCases.map(\.rawValue))), "told apart from the packets"),
    Key("delay", .record(delay), "of the median packet, one way"),
  ]
}

/// Test steps that change the lab: `plan`, `apply`, `rollback`.
enum ChangeStepKeys {
  private static let words = ["topology", "policies", "mesh", "change"]
  private static let file = Shape.scalar(.text("the path of a CHANGE, relative to the topology file"))
  private static let inline = ChangeKeys.keys + [Key("change", file, "the CHANGE in a file of its own")]

  static let plan = Shape.either([.scalar(.text("the path of a CHANGE, or the CHANGE itself")), .record(planned)])
  private static let planned = Record("a plan", atLeastOne: words, keys: inline)

  static let apply = Shape.either([.scalar(.text("the path of a CHANGE, or the CHANGE itself")), .record(applied)])
  private static let applied = Record(
    "an apply", atLeastOne: words,
    keys: inline + [Key("confirm-within", .scalar(.time), "rolled back when nobody confirms it in this time")])

  private static let version = ScalarForm.integer(1...1_000_000)

  static let rollback = Shape.either([
    .scalar(.word(["previous"]).or(version)),
    .record(Record("a rollback", keys: [Key("to", .scalar(version), .required, "the version to go back to")])),
  ])

  private static let nodes = Key(
    "nodes", .list(TestKeys.node, example: "[edge]"), "exactly these nodes change, in any order")

  static let expectPlan: [Key] = [nodes]
  static let expectApply: [Key] = [
    Key("applied", .scalar(.bool), "false: it is refused, and nothing changes anywhere"),
    Key("refused", .scalar(.text("text")), "the refusal holds it, such as the node or the line"),
    nodes,
  ]
}
