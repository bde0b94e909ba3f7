/// `qos:` of one node.
struct QoSReader {
  let lab: LabResolver
  let node: Int
  private let matches: PacketMatchReader
  private var reporter: Reporter { lab.reporter }

  init(lab: LabResolver, node: Int) {
    self.lab = lab
    self.node = node
    matches = PacketMatchReader(lab: lab, node: node)
  }

  func read(_ tree: Tree?) -> [InterfaceQoS] {
    (tree?.entries ?? []).compactMap { entry in
      guard let id = matches.find(entry.key, at: entry.keyPlace) else { return nil }
      let link = lab.links[id.link].tree
      if let rate = link.entry("rate") {
        reporter.error(
          entry.keyPlace,
          "`qos` of `\(entry.key)`, whose link has a `rate` (line \(rate.keyPlace.line)); expected one of them")
      }
      let mtu = link.number("mtu") ?? 1500
      let egress = entry.value["egress"]
      return InterfaceQoS(
        interface: entry.key, shaper: shaper(egress, entry.key, mtu),
        policers: policers(entry.value["ingress"]?["police"], entry.key, mtu), markings: markings(egress, entry.key))
    }
  }

  // MARK: Egress

  private func shaper(_ egress: Tree?, _ interface: String, _ mtu: UInt32) -> Shaper? {
    if let classes = egress?.entry("classes"), egress?["shape"] == nil {
      reporter.error(classes.keyPlace, "`classes` without `shape`; expected the rate they are parts of")
    }
    guard let tree = egress?["shape"], let text = tree.text("rate"), let rate = parseRate(text) else { return nil }
    let burst = tree.text("burst").flatMap(parseSize)
    let limit = tree.text("limit").flatMap(parseSize)
    checkRoom(burst, tree, "burst", mtu)
    checkRoom(limit, tree, "limit", mtu)
    var line = RuleText("shape \(interface) \(text)")
    line.add(tree, ["burst", "limit", "ecn"])
    let classes = classes(egress?.items("classes") ?? [], "shape \(interface) \(text)", rate, mtu)
    return Shaper(
      origin: line.origin(tree.place), rate: rate, burst: burst, limit: limit,
      ecn: tree.bool("ecn") ?? false, classes: classes)
  }

  private func classes(_ items: [Tree], _ prefix: String, _ rate: UInt64, _ mtu: UInt32) -> [Shaper.Class] {
    var classes: [Shaper.Class] = []
    var left = rate
    for item in items {
      guard let one = trafficClass(item, prefix, rate, mtu) else { continue }
      if let first = classes.first(where: { $0.name == one.name }) {
        reporter.error(
          item.place(of: "name"),
          "a second class `\(one.name)`, the first is in line \(first.origin.place.line); expected a name of its own")
      }
      if one.rate > rate {
        reporter.error(item.place(of: "rate"), "rate: `\(item.text("rate") ?? "")` is more than the shaped rate")
      } else if one.rate > left {
        reporter.error(
          item.place(of: "rate"),
          "rate: `\(item.text("rate") ?? "")`, and the classes together are guaranteed more than is shaped; "
            + "expected at most \(left)bit")
      }
      left -= min(left, one.rate)
      classes.append(one)
    }
    ShadowCheck.run(classes.map { ShadowCheck.Rule($0.origin, $0.match) }, "class", reporter)
    return classes
  }

  private func trafficClass(_ item: Tree, _ prefix: String, _ whole: UInt64, _ mtu: UInt32) -> Shaper.Class? {
    let match = matches.read(item["match"])
    guard let name = item.text("name"), let rate = item.text("rate").flatMap(parseRate) else { return nil }
    let ceil = item.text("ceil").flatMap(parseRate)
    if let ceil, ceil > whole {
      reporter.error(item.place(of: "ceil"), "ceil: `\(item.text("ceil") ?? "")` is more than the shaped rate")
    } else if let ceil, ceil < rate {
      reporter.error(item.place(of: "ceil"), "ceil: `\(item.text("ceil") ?? "")` is less than the class's own `rate`")
    }
    let limit = item.text("limit").flatMap(parseSize)
    checkRoom(limit, item, "limit", mtu)
    var line = RuleText("\(prefix) class \(name)")
    line.add(item, ["rate", "ceil", "priority", "limit"])
    if let tree = item["match"] {
      line.add("match")
      line.add(tree, RuleText.matchKeys)
    }
    return Shaper.Class(
      origin: line.origin(item.place), name: name, match: match, rate: rate, ceil: ceil,
      priority: item.number("priority") ?? 7, limit: limit)
  }

  private func markings(_ egress: Tree?, _ interface: String) -> [Marking] {
    let markings = (egress?.items("mark") ?? []).compactMap { item -> Marking? in
      let match = matches.read(item["match"])
      guard let text = item.text("dscp"), let dscp = parseDSCP(text) else { return nil }
      var line = RuleText("mark \(interface) \(text)")
      if let tree = item["match"] {
        line.add("match")
        line.add(tree, RuleText.matchKeys)
      }
      return Marking(origin: line.origin(item.place), match: match, dscp: dscp)
    }
    ShadowCheck.run(markings.map { ShadowCheck.Rule($0.origin, $0.match) }, "mark", reporter)
    return markings
  }

  // MARK: Ingress

  private func policers(_ tree: Tree?, _ interface: String, _ mtu: UInt32) -> [Policer] {
    guard let tree else { return [] }
    let policers = (tree.isMapping ? [tree] : tree.list).compactMap { policer($0, interface, mtu) }
    ShadowCheck.run(policers.map { ShadowCheck.Rule($0.origin, $0.match) }, "policer", reporter)
    return policers
  }

  private func policer(_ item: Tree, _ interface: String, _ mtu: UInt32) -> Policer? {
    let match = matches.read(item["match"])
    let limit: Policer.Limit
    let burst: UInt32?
    var line = RuleText("police \(interface)")
    if let text = item.text("rate") {
      guard let rate = parseRate(text) else { return nil }
      limit = .rate(rate)
      burst = item.text("burst").flatMap(parseSize)
      if let text = item.text("burst"), UInt32(text) != nil {
        reporter.error(item.place(of: "burst"), "burst: `\(text)` beside `rate`; expected a size, such as 64kb")
      }
      checkRoom(burst, item, "burst", mtu)
      line.add(text)
    } else {
      guard let packets = item.number("packets") else { return nil }
      limit = .packets(UInt64(packets))
      burst = item.number("burst")
      if let text = item.text("burst"), parseSize(text) != nil {
        reporter.error(item.place(of: "burst"), "burst: `\(text)` beside `packets`; expected a number of packets")
      }
      line.add("packets \(packets)")
    }
    line.add(item, ["burst", "per"])
    if let tree = item["match"] {
      line.add("match")
      line.add(tree, RuleText.matchKeys)
    }
    let per = item.text("per").flatMap(Policer.Per.init(rawValue:)) ?? .all
    return Policer(origin: line.origin(item.place), match: match, limit: limit, burst: burst, per: per)
  }

  /// A bucket or a queue that is smaller than one packet lets none through.
  private func checkRoom(_ bytes: UInt32?, _ tree: Tree, _ key: String, _ mtu: UInt32) {
    // The Ethernet header counts.
    guard let bytes, bytes < mtu + 14 else { return }
    reporter.error(
      tree.place(of: key),
      "\(key): `\(tree.text(key) ?? "")` is less than one packet of the link's mtu \(mtu); expected at least \(mtu + 14)b"
    )
  }
}
