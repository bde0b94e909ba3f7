import NetTypes

/// `flowspec:` of one router: rules of RFC 8955 (IPv4) and RFC 8956 (IPv6).
struct FlowSpecReader {
  let lab: LabResolver
  let node: Int
  private var matches: PacketMatchReader { PacketMatchReader(lab: lab, node: node) }
  private var reporter: Reporter { lab.reporter }

  func read(_ tree: Tree?) -> [FlowSpecRule] {
    var rules: [FlowSpecRule] = []
    var lines: [FlowSpecMatch: Int] = [:]
    for item in tree?.list ?? [] {
      for rule in read(rule: item) {
        // Rules are ordered by what they match (RFC 8955 section 5.1), so two of one match contradict each other.
        if let first = lines[FlowSpecMatch(rule)] {
          reporter.error(item.place, "the same flow a second time, the first is in line \(first); expected one rule")
          break
        }
        lines[FlowSpecMatch(rule)] = rule.origin.place.line
        rules.append(rule)
      }
    }
    return rules
  }

  private func read(rule item: Tree) -> [FlowSpecRule] {
    guard let match = item["match"], match.isMapping else { return [] }
    let families = families(match)
    let line = text(item, match)
    return families.compactMap { family in
      var rule = FlowSpecRule(
        origin: RuleOrigin(text: families.count > 1 ? "\(line) \(family.word)" : line, place: item.place),
        family: family)
      fill(&rule, match)
      rule.actions = actions(item["then"], family)
      return rule.actions.isEmpty ? nil : rule
    }
  }

  private func text(_ item: Tree, _ match: Tree) -> String {
    var line = RuleText("flowspec")
    line.add(match, FlowSpecKeys.matchNames + ["family"])
    line.add("then")
    let then = item["then"]
    for action in then.map({ $0.list.isEmpty ? [$0] : $0.list }) ?? [] {
      if let word = action.text { line.add(word) }
      line.add(action, ["rate", "packets", "mark", "redirect"])
    }
    return line.text
  }

  private func families(_ match: Tree) -> [AddressFamily] {
    var family = match.text("family").flatMap(AddressFamily.init(word:))
    if let family, let value = match["family"] { matches.checkFamily(family, family.word, at: value.place) }
    for key in ["from", "to"] {
      guard let prefix = matches.prefix(match[key]) else { continue }
      if let family, prefix.family != family {
        reporter.error(match.place(of: key), "\(key): `\(prefix)` in a rule for \(family.title); expected one family")
      }
      family = family ?? prefix.family
    }
    return family.map { [$0] } ?? lab.families
  }

  private func fill(_ rule: inout FlowSpecRule, _ match: Tree) {
    rule.source = match.text("from").flatMap(parsePrefixOrAddress)
    rule.destination = match.text("to").flatMap(parsePrefixOrAddress)
    let icmp: UInt8 = rule.family == .ipv4 ? 1 : 58
    rule.protocols = matches.values(match, "proto") { text in
      guard let known = TransportProtocol(rawValue: text) else { return UInt8(text) }
      return known == .icmp ? icmp : known.number
    }
    rule.ports = matches.values(match, "port", parsePorts)
    rule.destinationPorts = matches.values(match, "destination-port", parsePorts)
    rule.sourcePorts = matches.values(match, "source-port", parsePorts)
    rule.icmpTypes = matches.values(match, "icmp-type") { UInt8($0) }
    rule.icmpCodes = matches.values(match, "icmp-code") { UInt8($0) }
    let flags = matches.values(match, "tcp-flags") { tcpFlagNames.firstIndex(of: $0) }
    rule.tcpFlags = flags.isEmpty ? nil : flags.reduce(0) { $0 | 1 << UInt8($1) }
    rule.lengths = matches.values(match, "length", parseNumbers)
    rule.dscp = matches.values(match, "dscp", parseDSCP)
    rule.fragments = match.bool("fragment")
    checkProtocol(rule, match, ["port", "destination-port", "source-port"], [6, 17, 132], "tcp or udp")
    checkProtocol(rule, match, ["icmp-type", "icmp-code"], [icmp], "icmp")
    checkProtocol(rule, match, ["tcp-flags"], [6], "tcp")
  }

  /// A field of a header that the rule's protocols do not have matches nothing.
  private func checkProtocol(
    _ rule: FlowSpecRule, _ match: Tree, _ keys: [String], _ having: Set<UInt8>, _ words: String
  ) {
    guard !rule.protocols.isEmpty, having.isDisjoint(with: rule.protocols) else { return }
    for key in keys {
      guard let entry = match.entry(key) else { continue }
      reporter.error(entry.keyPlace, "`\(key)` of a protocol that has none; expected `proto: \(words)` beside it")
    }
  }

  private func actions(_ tree: Tree?, _ family: AddressFamily) -> [FlowSpecRule.Action] {
    guard let tree else { return [] }
    var actions: [FlowSpecRule.Action] = []
    var words: [String] = []
    for item in tree.list.isEmpty ? [tree] : tree.list {
      guard let (word, action) = action(item, family) else { continue }
      if words.contains(word) {
        reporter.error(item.place, "`\(word)` a second time in one `then`; expected it once")
      } else if word == "drop" && !words.isEmpty || words.contains("drop") {
        reporter.error(item.place, "`\(word)` beside other actions: what is dropped is dropped; expected `drop` alone")
      }
      words.append(word)
      actions.append(action)
    }
    return actions
  }

  private func action(_ item: Tree, _ family: AddressFamily) -> (String, FlowSpecRule.Action)? {
    if item.text == "drop" { return ("drop", .drop) }
    if let rate = item.text("rate").flatMap(parseRate) { return ("rate", .rate(Float(rate) / 8)) }
    if let packets = item.number("packets") { return ("packets", .packets(Float(packets))) }
    if let dscp = item.text("mark").flatMap(parseDSCP) { return ("mark", .mark(dscp)) }
    guard let address = item.text("redirect").flatMap({ IPAddress($0) }) else { return nil }
    if address.family != family {
      reporter.error(
        item.place(of: "redirect"),
        "redirect: `\(address)` in a rule for \(family.title); expected one family (`family:` "
          + "says it)")
    }
    return ("redirect", .redirect(address))
  }
}

/// The flow of a rule, whatever becomes of it.
private struct FlowSpecMatch: Hashable {
  private let prefixes: [IPPrefix?]
  private let ranges: [[ClosedRange<UInt16>]]
  private let numbers: [[UInt8]]
  private let family: AddressFamily
  private let tcpFlags: UInt8?
  private let fragments: Bool?

  init(_ rule: FlowSpecRule) {
    prefixes = [rule.source, rule.destination]
    ranges = [rule.ports, rule.destinationPorts, rule.sourcePorts, rule.lengths]
    numbers = [rule.protocols, rule.icmpTypes, rule.icmpCodes, rule.dscp]
    (family, tcpFlags, fragments) = (rule.family, rule.tcpFlags, rule.fragments)
  }
}
