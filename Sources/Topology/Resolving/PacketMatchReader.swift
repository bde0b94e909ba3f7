import NetTypes

/// Matches of one node's rules: `match:` mappings, and the same keys written beside each other in `nat`.
struct PacketMatchReader {
  let lab: LabResolver
  let node: Int

  private var reporter: Reporter { lab.reporter }
  private var name: String { lab.nodes[node].name }

  /// `destination` is what `to` is where `to` has another meaning.
  func read(_ tree: Tree?, destination: String = "to") -> PacketMatch {
    var match = PacketMatch()
    guard let tree else { return match }
    match.incoming = interfaces(tree, "in")
    match.outgoing = interfaces(tree, "out")
    match.from = prefixes(tree, "from")
    match.to = prefixes(tree, destination)
    match.transport = tree.text("proto").flatMap(TransportProtocol.init(rawValue:))
    match.ports = values(tree, "port", parsePorts)
    match.sourcePorts = values(tree, "source-port", parsePorts)
    match.states = values(tree, "state") { PacketMatch.State(rawValue: $0) }
    match.connectionsOver = tree.number("connections-over")
    match.dscp = values(tree, "dscp", parseDSCP)
    checkPorts(tree, match.transport)
    checkFamilies(tree, destination)
    return match
  }

  func values<Value>(_ tree: Tree, _ key: String, _ parse: (String) -> Value?) -> [Value] {
    tree.oneOrMore(key).compactMap { $0.text.flatMap(parse) }
  }

  func interfaces(_ tree: Tree, _ key: String) -> [String] {
    tree.oneOrMore(key).compactMap { item in
      guard let text = item.text, InterfaceName(text) != nil else { return nil }
      return find(text, at: item.place) == nil ? nil : text
    }
  }

  /// The end of that name; nil after reporting.
  func find(_ interface: String, at place: Place) -> EndID? {
    if let id = lab.find(node, interface: interface) { return id }
    guard lab.linksAreWhole else { return nil }
    let names = lab.nodes[node].interfaces.map { lab.end($0).interface }
    let hint = reporter.suggestion(for: interface, from: names)
    let list =
      names.isEmpty ? "; it has no links" : "; expected one of \(names.map { "`\($0)`" }.joined(separator: ", "))"
    reporter.error(place, "`\(name)` has no interface `\(interface)`\(hint.isEmpty ? list : hint)")
    return nil
  }

  func prefixes(_ tree: Tree, _ key: String) -> [IPPrefix] {
    tree.oneOrMore(key).compactMap { prefix($0) }
  }

  func prefix(_ item: Tree?) -> IPPrefix? {
    guard let item, let text = item.text, let prefix = parsePrefixOrAddress(text) else { return nil }
    checkFamily(prefix.family, text, at: item.place)
    return prefix
  }

  /// The lab has the family.
  func checkFamily(_ family: AddressFamily, _ text: String, at place: Place) {
    if !lab.families.contains(family) { reporter.error(place, "`\(text)` in a lab without \(family.title)") }
  }

  private func checkPorts(_ tree: Tree, _ transport: TransportProtocol?) {
    guard transport == .icmp else { return }
    for key in ["port", "source-port", "ports"] {
      guard let value = tree[key] else { continue }
      reporter.error(value.place, "\(key): icmp has no ports; expected `proto: tcp` or `proto: udp` beside it")
    }
  }

  /// No packet has a source of one family and a destination of the other.
  private func checkFamilies(_ tree: Tree, _ destination: String) {
    let from = Set(tree.oneOrMore("from").compactMap { $0.text.flatMap(parsePrefixOrAddress)?.family })
    guard !from.isEmpty else { return }
    for item in tree.oneOrMore(destination) {
      guard let family = item.text.flatMap(parsePrefixOrAddress)?.family, !from.contains(family) else { continue }
      reporter.error(
        item.place, "\(destination): `\(item.text ?? "")` is \(family.title) and `from` is not; expected one family")
    }
  }
}

func parsePrefixOrAddress(_ text: String) -> IPPrefix? {
  if let address = IPAddress(text) { return IPPrefix(address, length: address.family.bits) }
  return IPPrefix(text)
}

/// One line about a rule in the words of its file: keys and values as they were written, in a fixed order, no places.
/// Two rules that differ have different lines, so a line tells what changed.
struct RuleText {
  private(set) var text: String

  init(_ words: String) { text = words }

  static let matchKeys = [
    "in", "out", "from", "to", "destination", "proto", "port", "source-port", "state", "connections-over", "dscp",
  ]

  mutating func add(_ word: String) { text += " " + word }

  /// `KEY VALUE` for each key that is written; a list with commas.
  mutating func add(_ tree: Tree?, _ keys: [String]) {
    guard let tree else { return }
    for key in keys {
      let values = tree.oneOrMore(key).compactMap(\.text).filter { !$0.isEmpty }
      if !values.isEmpty { add("\(key) \(values.joined(separator: ","))") }
    }
  }

  /// Keys that are true.
  mutating func addFlags(_ tree: Tree, _ keys: [String]) {
    for key in keys where tree.bool(key) == true { add(key) }
  }

  func origin(_ place: Place) -> RuleOrigin { RuleOrigin(text: text, place: place) }
}
