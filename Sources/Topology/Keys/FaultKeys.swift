/// `fault:` of a test step.
enum FaultKeys {
  static let fault = Shape.either([.scalar(.word(["kill-controller"])), .record(record)])

  private static let linkEnds = Shape.list(
    .scalar(.exactEndpoint), count: 2...2, example: "[\"a:eth1\", \"b:eth1\"]")

  private static let link = Key("link", linkEnds, .required, "both ends of the link")
  private static let from = Key(
    "from", .scalar(.endpoint), "the end whose packets it happens to; both directions unless written")

  private static func onLink(_ kind: FaultStep.Kind, _ key: String, _ form: ScalarForm, _ doc: String) -> Key {
    let amount = Key(key, .scalar(form), .required, "\(doc); 0 takes the fault away")
    return Key(kind.rawValue, .record(Record("`\(kind.rawValue)`", keys: [link, amount, from])), doc)
  }

  private static let flap = Record(
    "`flap`",
    keys: [
      link,
      Key("down", .scalar(.time), "how long it is down; 1s unless written"),
      Key("up", .scalar(.time), "how long it is up in between; 1s unless written"),
      Key("times", .scalar(.integer(1...100_000)), "how often it goes down; until the test ends unless written"),
    ])

  private static let record = Record(
    "a fault", exactlyOne: FaultStep.Kind.allCases.map(\.rawValue),
    keys: [
      Key("link-down", linkEnds, "both ends of a link lose their carrier"),
      Key("link-up", linkEnds, "the link is back"),
      Key("flap", .record(flap), "a link goes down and comes back, again and again"),
      onLink(.loss, "percent", .percent, "packets that a link loses"),
      onLink(.delay, "delay", .delay, "how much longer packets take each way, on a link that declares `delay`"),
      onLink(.jitter, "jitter", .delay, "how much that varies, on a link that declares `delay`"),
      onLink(.rate, "rate", .rate.or(.word(["0"])), "what a link carries at most"),
      Key("kill", TestKeys.node, "every process of the node ends and its links go down"),
      Key("start", TestKeys.node, "a killed node comes back"),
      Key("kill-speaker", TestKeys.node, "its BGP process is killed; it is restarted"),
      Key("kill-controller", .scalar(.bool), "`true`: the controller is killed; it is restarted"),
      Key(
        "reset-session", .list(.scalar(.endpoint), count: 2...2, example: "[customer, isp1]"),
        "the first node ends its session with the second"),
      Key(
        "partition",
        .list(
          .list(TestKeys.node, count: 1...100_000, example: "[a, b]"), count: 2...10_000, example: "[[a, b], [c]]"),
        "links between nodes of different groups go down; who is in none belongs to the first"),
    ])
}
