import NetTypes

/// `tests:` → values, with every name looked up in the lab.
struct TestReader {
  let lab: LabResolver
  var reporter: Reporter { lab.reporter }

  init(lab: LabResolver) { self.lab = lab }

  func read(_ tree: Tree?) -> [LabTest] {
    var tests: [LabTest] = []
    var lines: [String: Int] = [:]
    for item in tree?.list ?? [] {
      guard let name = item.text("name") else { continue }
      let place = item.place(of: "name")
      if let line = lines[name] {
        reporter.error(place, "a second test `\(name)`, the first is in line \(line); expected a name of its own")
      }
      lines[name] = place.line
      tests.append(LabTest(name: name, place: item.place, steps: steps(item)))
    }
    return tests
  }

  private func steps(_ test: Tree) -> [TestStep] {
    var history = ChangeHistory(lab: lab.tree)
    return test.items("steps").compactMap { step($0, &history) }
  }

  private func step(_ item: Tree, _ history: inout ChangeHistory) -> TestStep? {
    guard let word = TestKeys.words.first(where: { item[$0] != nil }), let body = item[word] else { return nil }
    checkExpectation(item, word)
    let within = item.text("within").flatMap(parseTime).map { UInt32(clamping: $0 / 1000) }
    if ["fault", "apply", "rollback"].contains(word), let entry = item.entry("within") {
      let noun = word == "apply" ? "an apply" : "a \(word)"
      reporter.error(entry.keyPlace, "`within` beside \(noun), which is done at once; expected beside a check")
    }
    let action: TestAction? =
      switch word {
      case "trace": trace(body, item["expect"])
      case "no-transit": noTransit(body)
      case "route": route(body, item["expect"])
      case "session": session(body, item["expect"])
      case "exec": exec(body, item["expect"])
      case "nat": nat(body, item["expect"])
      case "rate": rate(body, item["expect"])
      case "plan": plan(body, item["expect"], &history)
      case "apply": apply(body, item["expect"], &history)
      case "rollback": rollback(body, &history)
      default: fault(body)
      }
    return action.map { TestStep(place: item.place, withinMilliseconds: within, action: $0) }
  }

  /// The table of keys knows all expectations together; here each must belong to the step's word.
  private func checkExpectation(_ item: Tree, _ word: String) {
    guard let entry = item.entry("expect") else { return }
    let allowed = TestKeys.expectations(of: word)
    if allowed.isEmpty {
      reporter.error(entry.keyPlace, "`expect` beside `\(word)`, which takes none")
      return
    }
    for key in entry.value.entries where !allowed.contains(key.key) && TestKeys.isExpectation(key.key) {
      let list = allowed.map { "`\($0)`" }.joined(separator: ", ")
      let noun = word == "apply" ? "an apply" : "a \(word)"
      reporter.error(key.keyPlace, "`\(key.key)` is nothing \(noun) can be; expected one of \(list)")
    }
    if entry.value.entries.isEmpty {
      reporter.error(entry.keyPlace, "`expect` is empty; expected something that must hold")
    }
  }

  func node(_ tree: Tree, _ key: String) -> Int? {
    guard let value = tree[key], let text = value.text, !value.isAbsent else { return nil }
    return lab.lookUp(text, at: value.place)
  }

  private func trace(_ tree: Tree, _ expect: Tree?) -> TestAction? {
    let from = sender(tree)
    guard let target = target(tree) else { return nil }
    let transport = tree.text("proto").flatMap(TraceStep.Transport.init(rawValue:)) ?? .icmp
    let port = port(tree, transport, "trace")
    guard let from else { return nil }
    for key in ["forward", "return"] { checkPath(expect?[key], from: key == "forward" ? lab.nodes[from].name : nil) }
    return .trace(
      TraceStep(
        from: lab.nodes[from].name, to: target, transport: transport, port: port,
        family: tree.text("family").flatMap(AddressFamily.init(word:)), count: tree.number("count"),
        reachable: expect == nil ? true : expect?.bool("reachable"),
        forward: expect?["forward"]?.list.compactMap(\.text),
        back: expect?["return"]?.list.compactMap(\.text), symmetric: expect?.bool("symmetric")))
  }

  /// `from`: a node that can send.
  func sender(_ tree: Tree) -> Int? {
    let from = node(tree, "from")
    if let from, lab.isSwitch(from) {
      reporter.error(
        tree.place(of: "from"), "from: `\(lab.nodes[from].name)` is a switch; expected a node with addresses")
    }
    return from
  }

  /// `to`: a node, `NODE:IFACE` or an address, as written.
  func target(_ tree: Tree) -> String? {
    guard let to = tree["to"], let target = to.text else { return nil }
    if IPAddress(target) == nil, checkEndpoint(target, at: to.place),
      let index = lab.indexes[String(target.prefix { $0 != ":" })], lab.isSwitch(index)
    {
      reporter.error(to.place, "to: `\(target)` is a switch; expected a node with addresses, or an address")
    }
    return target
  }

  /// tcp and udp need one, icmp has none.
  func port(_ tree: Tree, _ transport: TraceStep.Transport, _ noun: String) -> UInt16? {
    if transport == .icmp, let port = tree["port"] {
      reporter.error(port.place, "port: icmp has no ports; expected `proto: tcp` or `proto: udp` beside it")
    } else if transport != .icmp, tree["port"] == nil {
      reporter.error(tree.place, "a \(transport.rawValue) \(noun) has no `port`")
    }
    return tree.number("port").flatMap { UInt16(exactly: $0) }
  }

  private func checkPath(_ tree: Tree?, from: String?) {
    guard let tree else { return }
    for (position, item) in tree.list.enumerated() {
      guard let text = item.text, let index = lab.lookUp(text, at: item.place) else { continue }
      if lab.isSwitch(index) {
        reporter.error(item.place, "`\(text)` is a switch, and switches are no hops; expected nodes with addresses")
      } else if position == 0, let from, text != from {
        reporter.error(item.place, "the way there starts at `\(text)`; expected `\(from)`, which sends")
      }
    }
  }

  /// `NODE` or `NODE:IFACE`; true when it exists.
  @discardableResult
  func checkEndpoint(_ text: String, at place: Place) -> Bool {
    let parts = text.split(separator: ":", maxSplits: 1)
    guard let name = parts.first, let node = lab.lookUp(String(name), at: place) else { return false }
    guard parts.count == 2, lab.find(node, interface: parts[1]) == nil, lab.linksAreWhole else { return true }
    let hint = reporter.suggestion(
      for: String(parts[1]), from: lab.nodes[node].interfaces.map { lab.end($0).interface })
    reporter.error(place, "`\(name)` has no interface `\(parts[1])`\(hint)")
    return false
  }

  private func noTransit(_ tree: Tree) -> TestAction? {
    let index: Int?
    if let text = tree.text { index = lab.lookUp(text, at: tree.place) } else { index = node(tree, "node") }
    guard let index else { return nil }
    if lab.nodes[index].asn == nil, lab.nodes[index].merged["asn"] == nil {
      reporter.error(tree.place, "no-transit: `\(lab.nodes[index].name)` has no `asn`; expected a router of the AS")
    }
    return .noTransit(
      NoTransitStep(node: lab.nodes[index].name, exceptCustomers: tree.text("except") == "customers"))
  }

  private func route(_ tree: Tree, _ expect: Tree?) -> TestAction? {
    guard let index = node(tree, "node") else { return nil }
    if lab.nodes[index].kind != .router, lab.nodes[index].kind != nil {
      reporter.error(
        tree.place(of: "node"),
        "node: `\(lab.nodes[index].name)` is a \(lab.nodes[index].kind?.rawValue ?? ""); expected a router")
    }
    guard let prefix = tree.text("prefix").flatMap({ IPPrefix($0) }) else { return nil }
    let single = expect?["next-hop"].map { [$0] }
    let all = expect?["next-hops"]?.list
    if single != nil, let entry = expect?.entry("next-hops") {
      reporter.error(entry.keyPlace, "`next-hop` and `next-hops` together; expected one of them")
    }
    for item in (single ?? []) + (all ?? []) {
      if let text = item.text, !text.isEmpty, IPAddress(text) == nil { _ = lab.lookUp(text, at: item.place) }
    }
    return .route(
      RouteStep(
        node: lab.nodes[index].name, prefix: prefix, present: expect == nil ? true : expect?.bool("present"),
        asPath: expect?["as-path"]?.list.compactMap { $0.text.flatMap { ASNumber(text: $0) } },
        nextHops: (single ?? all)?.compactMap(\.text), bestBecause: expect?.text("best-because")))
  }

  private func session(_ tree: Tree, _ expect: Tree?) -> TestAction? {
    guard let index = node(tree, "node"), let neighbor = tree["neighbor"], let text = neighbor.text else { return nil }
    guard checkEndpoint(text, at: neighbor.place) else { return nil }
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    let name = lab.nodes[index].name
    checkSession(name, parts[0], interface: parts.count == 2 ? parts[1] : nil, at: neighbor.place)
    return .session(
      SessionStep(
        node: name, neighbor: parts[0], neighborInterface: parts.count == 2 ? parts[1] : nil,
        state: expect == nil ? .established : expect?.text("state").flatMap(SessionStep.State.init(rawValue:))))
  }

  private func checkSession(_ node: String, _ neighbor: String, interface: String?, at place: Place) {
    guard lab.linksAreWhole, !reporter.failed else { return }
    let found = lab.sessions.contains { session in
      [(session.a, session.b), (session.b, session.a)].contains { near, far in
        near.node == node && far.node == neighbor && (interface == nil || far.interface == interface)
      }
    }
    if !found {
      reporter.error(
        place, "no BGP session between `\(node)` and `\(neighbor)`\(interface.map { " at `\($0)`" } ?? "")")
    }
  }

  private func exec(_ tree: Tree, _ expect: Tree?) -> TestAction? {
    guard let index = node(tree, "node"), let command = tree.text("command") else { return nil }
    let output = expect?.text("output").map { text in
      text.count > 1 && text.hasPrefix("/") && text.hasSuffix("/")
        ? ExecStep.Output.pattern(String(text.dropFirst().dropLast())) : .text(text)
    }
    if case .pattern(let text)? = output, (try? Regex(text)) == nil, let place = expect?.place(of: "output") {
      reporter.error(place, "output: `/\(text)/` is no regular expression")
    }
    return .exec(
      ExecStep(
        node: lab.nodes[index].name, command: command,
        exit: expect == nil ? 0 : expect?.number("exit").map { Int32($0) },
        output: output))
  }

  private func fault(_ tree: Tree) -> TestAction? {
    if tree.text == "kill-controller" { return .fault(FaultStep(kind: .killController, targets: [])) }
    guard let kind = FaultStep.Kind.allCases.first(where: { tree[$0.rawValue] != nil }), let value = tree[kind.rawValue]
    else { return nil }
    var targets: [String] = []
    switch kind {
    case .linkDown, .linkUp:
      let ends = value.list.filter { item in item.text.map { checkEndpoint($0, at: item.place) } ?? false }
      guard ends.count == 2 else { return nil }
      targets = ends.compactMap(\.text)
      checkLink(targets, at: value.place)
    case .kill, .start, .killSpeaker:
      guard let text = value.text, let index = lab.lookUp(text, at: value.place) else { return nil }
      if kind == .killSpeaker, !lab.nodes[index].isSpeaker, lab.nodes[index].merged["asn"] == nil {
        reporter.error(value.place, "kill-speaker: `\(text)` speaks no BGP; expected a router with an `asn`")
      }
      targets = [text]
    case .flap, .loss, .delay, .jitter, .rate, .partition: return nil
    case .killController:
      if value.text == "false" { reporter.error(value.place, "kill-controller: `false`; expected `true`") }
    case .resetSession:
      targets = value.list.compactMap(\.text)
      guard targets.count == 2 else { return nil }
      guard lab.lookUp(targets[0], at: value.list[0].place) != nil, checkEndpoint(targets[1], at: value.list[1].place)
      else { return nil }
      let parts = targets[1].split(separator: ":", maxSplits: 1).map(String.init)
      checkSession(targets[0], parts[0], interface: parts.count == 2 ? parts[1] : nil, at: value.place)
    }
    return .fault(FaultStep(kind: kind, targets: targets))
  }

  private func checkLink(_ ends: [String], at place: Place) {
    let names = Set(ends)
    let found = lab.links.indices.contains { index in
      names == [lab.name(EndID(link: index, side: .a)), lab.name(EndID(link: index, side: .b))]
    }
    if !found, lab.linksAreWhole {
      reporter.error(place, "`\(ends[0])` and `\(ends[1])` are not the two ends of one link")
    }
  }
}
