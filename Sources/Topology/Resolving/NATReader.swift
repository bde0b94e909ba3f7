import NetTypes

/// `nat:` of one node.
struct NATReader {
  let lab: LabResolver
  let node: Int
  private var matches: PacketMatchReader { PacketMatchReader(lab: lab, node: node) }
  private var reporter: Reporter { lab.reporter }

  func read(_ tree: Tree?) -> [NATRule] {
    let rules = (tree?.list ?? []).compactMap(rule)
    checkShadows(rules)
    checkZones(rules)
    return rules
  }

  private func rule(_ item: Tree) -> NATRule? {
    guard let word = PacketKeys.natWords.first(where: { item[$0] != nil }), let body = item[word] else { return nil }
    switch word {
    case "snat": return source(body, item.place)
    case "dnat": return destination(body, item.place)
    case "map": return map(body, item.place)
    case "masquerade": return masquerade(body, item.place)
    default: return zone(body, item.place)
    }
  }

  // MARK: Sources

  private static let sourceKeys = ["out", "from", "destination", "proto", "port"]

  private func source(_ tree: Tree, _ place: Place) -> NATRule? {
    let match = matches.read(tree, destination: "destination")
    guard let text = tree.text("to"), let pool = parsePool(text) else { return nil }
    let family = pool.lowerBound.family
    matches.checkFamily(family, text, at: tree.place(of: "to"))
    for key in ["from", "destination"] { checkFamily(tree, key, is: family, like: "to") }
    checkUsable(pool, text, at: tree.place(of: "to"))
    var line = RuleText("snat")
    line.add(tree, Self.sourceKeys + ["to", "ports"])
    line.addFlags(tree, ["persistent", "random"])
    return NATRule(
      origin: line.origin(place), match: match,
      translation: .source(
        pool, ports: tree.text("ports").flatMap(parsePorts), persistent: tree.bool("persistent") ?? false,
        random: tree.bool("random") ?? false))
  }

  private func masquerade(_ tree: Tree, _ place: Place) -> NATRule {
    let match = matches.read(tree, destination: "destination")
    var line = RuleText("masquerade")
    line.add(tree, Self.sourceKeys + ["ports"])
    line.addFlags(tree, ["random"])
    return NATRule(
      origin: line.origin(place), match: match,
      translation: .masquerade(ports: tree.text("ports").flatMap(parsePorts), random: tree.bool("random") ?? false))
  }

  // MARK: Destinations

  private func destination(_ tree: Tree, _ place: Place) -> NATRule? {
    var match = matches.read(tree, destination: "address")
    guard let text = tree.text("to"), let target = ForwardTarget(text) else { return nil }
    let family = target.addresses.lowerBound.family
    matches.checkFamily(family, text, at: tree.place(of: "to"))
    for key in ["from", "address"] { checkFamily(tree, key, is: family, like: "to") }
    checkUsable(target.addresses, text, at: tree.place(of: "to"))
    checkForwardPorts(tree, match, target)
    if tree["address"] == nil { match.to = ownAddresses(tree, match.incoming, family, place) }
    let hairpin = tree.bool("hairpin") ?? false
    let clients = hairpin ? inside(target.addresses, match.incoming) : []
    if hairpin, clients.isEmpty {
      reporter.error(
        tree.place(of: "hairpin"),
        "hairpin: `\(lab.nodes[node].name)` has no \(family.title) subnet but those of `in`, so no client is on the "
          + "server's own side; expected it on a node between them and the outside")
    }
    var line = RuleText("dnat")
    line.add(tree, ["in", "from", "proto", "port", "address", "to"])
    line.addFlags(tree, ["hairpin"])
    return NATRule(
      origin: line.origin(place), match: match,
      translation: .destination(
        target.addresses, ports: target.ports, hairpin: hairpin, inside: clients))
  }

  private func checkForwardPorts(_ tree: Tree, _ match: PacketMatch, _ target: ForwardTarget) {
    if tree["proto"] == nil, let value = tree["port"] ?? (target.ports == nil ? nil : tree["to"]) {
      reporter.error(
        value.place,
        "`\(value.text ?? "a list")`: a port is forwarded for one protocol; expected `proto: tcp` or `proto: udp` beside it"
      )
    }
    guard let ports = target.ports else { return }
    if match.transport == .icmp {
      reporter.error(tree.place(of: "to"), "to: icmp has no ports; expected an address alone")
    }
    // The kernel keeps a port that lies in the range and takes any other of it: it does not shift one by one.
    if ports.count > 1, let range = match.ports.first(where: { $0 != ports && $0.count > 1 }) {
      reporter.error(
        tree.place(of: "to"),
        "to: ports \(range.lowerBound)-\(range.upperBound) are not shifted one by one to "
          + "\(ports.lowerBound)-\(ports.upperBound); expected one port, or the same range")
    }
  }

  /// Packets to an own address of the interfaces they come in by.
  private func ownAddresses(
    _ tree: Tree, _ interfaces: [String], _ family: AddressFamily, _ place: Place
  ) -> [IPPrefix] {
    if tree["in"] == nil {
      reporter.error(place, "a dnat without `in` and without `address`; expected one that says which packets it is for")
      return []
    }
    // Each has an address of every family of the lab.
    return interfaces.flatMap { name -> [IPPrefix] in
      guard let id = lab.find(node, interface: name) else { return [] }
      return lab.end(id).addresses.compactMap { placed in
        let address = placed.value.address
        return address.family == family ? IPPrefix(address, length: family.bits) : nil
      }
    }
  }

  /// Subnets whose clients reach the server without passing this node on the way back: those that hold it, or all that
  /// are not outside.
  private func inside(_ servers: ClosedRange<IPAddress>, _ outside: [String]) -> [IPPrefix] {
    let subnets = lab.nodes[node].interfaces.filter { !outside.contains(lab.end($0).interface) }
      .flatMap { lab.end($0).addresses.map(\.value.prefix) }.filter { $0.family == servers.lowerBound.family }
    let holding = subnets.filter { $0.contains(servers.lowerBound) || $0.contains(servers.upperBound) }
    return holding.isEmpty ? subnets : holding
  }

  // MARK: Maps, zones

  private func map(_ tree: Tree, _ place: Place) -> NATRule? {
    guard let inside = matches.prefix(tree["inside"]), let outside = matches.prefix(tree["outside"]) else { return nil }
    let there = tree.place(of: "outside")
    if inside.family != outside.family {
      reporter.error(
        there, "outside: `\(outside)` for `\(inside)`; expected an \(inside.family.title) prefix of the same length")
    } else if inside.length != outside.length {
      reporter.error(there, "outside: `\(outside)` for `\(inside)`; expected a length of /\(inside.length) for both")
    } else if inside.overlaps(outside) {
      reporter.error(there, "outside: `\(outside)` is `inside` itself; expected another prefix")
    }
    var line = RuleText("map")
    line.add(tree, ["inside", "outside"])
    return NATRule(
      origin: line.origin(place), match: PacketMatch(), translation: .prefix(inside: inside, outside: outside))
  }

  private func zone(_ tree: Tree, _ place: Place) -> NATRule? {
    var match = PacketMatch()
    match.incoming = matches.interfaces(tree, "in")
    guard let id = tree.number("id").flatMap({ UInt16(exactly: $0) }), id > 0 else { return nil }
    var line = RuleText("zone")
    line.add(tree, ["in", "id"])
    return NATRule(origin: line.origin(place), match: match, translation: .zone(id))
  }

  private func checkZones(_ rules: [NATRule]) {
    var owners: [String: RuleOrigin] = [:]
    for rule in rules {
      guard case .zone = rule.translation else { continue }
      for interface in rule.match.incoming {
        guard let first = owners.updateValue(rule.origin, forKey: interface) else { continue }
        reporter.error(
          rule.origin.place, "a second zone for `\(interface)`, the first is in line \(first.place.line); expected one")
      }
    }
  }

  // MARK: Checks

  private func checkFamily(_ tree: Tree, _ key: String, is family: AddressFamily, like other: String) {
    for item in tree.oneOrMore(key) {
      guard let text = item.text, let prefix = parsePrefixOrAddress(text), prefix.family != family else { continue }
      reporter.error(item.place, "\(key): `\(text)`, and `\(other)` is \(family.title); expected one family")
    }
  }

  private func checkUsable(_ pool: ClosedRange<IPAddress>, _ text: String, at place: Place) {
    for address in [pool.lowerBound, pool.upperBound] {
      let what =
        address.isMulticast
        ? "a multicast address"
        : address.isUnspecified ? "the unspecified address" : address.isLoopback ? "loopback" : nil
      guard let what else { continue }
      reporter.error(
        place, "to: `\(text)` is \(what), which no packet can be sent on with; expected an address of a node")
      return
    }
  }

  /// Sources are translated where packets leave, destinations where they come in: each by the first rule that matches.
  private func checkShadows(_ rules: [NATRule]) {
    var sources: [ShadowCheck.Rule] = []
    var destinations: [ShadowCheck.Rule] = []
    for rule in rules {
      var shadow = ShadowCheck.Rule(rule.origin, rule.match)
      switch rule.translation {
      case .masquerade: sources.append(shadow)
      case .source(let pool, _, _, _):
        shadow.families = [pool.lowerBound.family]
        sources.append(shadow)
      case .destination(_, _, let hairpin, _):
        if hairpin { shadow.match.incoming = [] }
        destinations.append(shadow)
      case .prefix(let inside, let outside):
        // One whose one half is hidden still does the other.
        shadow.canBeHidden = false
        shadow.families = [inside.family]
        shadow.match.from = [inside]
        sources.append(shadow)
        shadow.match.from = []
        shadow.match.to = [outside]
        destinations.append(shadow)
      case .zone: break
      }
    }
    ShadowCheck.run(sources, "nat rule", reporter)
    ShadowCheck.run(destinations, "nat rule", reporter)
  }
}
