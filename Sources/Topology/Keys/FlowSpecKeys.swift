/// `flowspec:` of a router.
enum FlowSpecKeys {
  static let rules = Shape.list(.record(rule), example: "[{match: {to: 203.0.113.10/32, proto: udp}, then: drop}]")

  static let matchNames = [
    "from", "to", "proto", "port", "source-port", "destination-port", "icmp-type", "icmp-code", "tcp-flags", "length",
    "dscp", "fragment",
  ]

  private static let rule = Record(
    "a flowspec rule",
    keys: [
      Key("match", .record(match), .required, "the flow"),
      Key(
        "then", .either([.scalar(.word(["drop"])), .record(action), .list(thenItem, count: 1...4, example: "[drop]")]),
        .required, "what becomes of it"),
    ])

  private static let thenItem = Shape.either([.scalar(.word(["drop"])), .record(action)])

  private static let action = Record(
    "`then`", exactlyOne: ["rate", "packets", "mark", "redirect"],
    keys: [
      Key("rate", .scalar(.rate), "what is over it is dropped (RFC 8955 traffic-rate-bytes)"),
      Key("packets", .scalar(.integer(1...100_000_000)), "packets a second, likewise (traffic-rate-packets)"),
      Key("mark", .scalar(.dscp), "the DSCP written (traffic-marking)"),
      Key("redirect", .scalar(.address), "the next hop instead of the route's"),
    ])

  private static func numbers(_ range: ClosedRange<Int>) -> Shape {
    MatchKeys.oneOrMore(.numbers(range), example: "[1, 2]")
  }

  private static let match = Record(
    "`match`", atLeastOne: matchNames,
    keys: [
      Key("family", .scalar(.word(["ipv4", "ipv6"])), "that of `from` and `to`, or one rule for each"),
      Key("from", .scalar(.prefixOrAddress), "source prefix"),
      Key("to", .scalar(.prefixOrAddress), "destination prefix"),
      Key("proto", MatchKeys.oneOrMore(.protocolNumber, example: "[tcp, udp]"), "IP protocols"),
      Key("port", MatchKeys.oneOrMore(.ports, example: "[80, 443]"), "ports of either end"),
      Key("destination-port", MatchKeys.oneOrMore(.ports, example: "[80, 443]"), "destination ports"),
      Key("source-port", MatchKeys.oneOrMore(.ports, example: "[53]"), "source ports"),
      Key("icmp-type", MatchKeys.oneOrMore(.integer(0...255), example: "[8]"), "of ICMP"),
      Key("icmp-code", MatchKeys.oneOrMore(.integer(0...255), example: "[0]"), "of ICMP"),
      Key("tcp-flags", MatchKeys.oneOrMore(.word(tcpFlagNames), example: "[syn, ack]"), "all of these are set"),
      Key("length", numbers(0...65535), "of the IP packet, in bytes"),
      Key("dscp", MatchKeys.oneOrMore(.dscp, example: "[ef]"), "code points"),
      Key("fragment", .scalar(.bool), "true: any fragment, false: whole packets"),
    ])
}
