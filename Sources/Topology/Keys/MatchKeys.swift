/// `match:` of what a node does with packets: one table, of which each rule takes the keys that mean something there.
enum MatchKeys {
  static func oneOrMore(_ form: ScalarForm, example: String) -> Shape {
    .either([.scalar(form), .list(.scalar(form), count: 1...10_000, example: example)])
  }

  static let transport = Shape.scalar(.word(TransportProtocol.allCases.map(\.rawValue)))

  private static let all: [Key] = [
    Key("in", oneOrMore(.interface, example: "[eth1, eth2]"), "interfaces they come in by"),
    Key("out", oneOrMore(.interface, example: "[eth1, eth2]"), "interfaces they leave by"),
    Key("from", oneOrMore(.prefixOrAddress, example: "[192.168.0.0/16]"), "source prefixes or addresses"),
    Key("to", oneOrMore(.prefixOrAddress, example: "[203.0.113.0/24]"), "destination prefixes or addresses"),
    Key("destination", oneOrMore(.prefixOrAddress, example: "[203.0.113.0/24]"), "destination prefixes or addresses"),
    Key("proto", transport, "icmp (of either family), tcp or udp"),
    Key("port", oneOrMore(.ports, example: "[80, 443]"), "destination ports; tcp and udp unless `proto` says which"),
    Key("source-port", oneOrMore(.ports, example: "[5000-5010]"), "source ports"),
    Key(
      "state", oneOrMore(.word(PacketMatch.State.allCases.map(\.rawValue)), example: "[new]"),
      "of the connection they belong to"),
    Key(
      "connections-over", .scalar(.integer(1...1_000_000)),
      "those of connections beyond this many that the rest of the match holds for"),
    Key("dscp", oneOrMore(.dscp, example: "[ef, af41]"), "code points"),
  ]

  static func keys(_ names: [String]) -> [Key] { all.filter { names.contains($0.name) } }

  static func match(_ names: [String]) -> Record { Record("`match`", atLeastOne: names, keys: keys(names)) }
}

extension ScalarForm {
  /// A prefix; an address stands for itself alone.
  static let prefixOrAddress = ScalarForm(
    "a prefix such as 203.0.113.0/24, or an address", schema: .anyOf([prefix.schema, address.schema])
  ) { text in
    address.check(text) == nil ? nil : prefix.check(text)
  }
}
