import NetTypes

/// `tests:` → values, with every name looked up in the lab.
struct TestReader {
  let lab: LabResolver
  var reporter: Reporter { lab.reporter }

  init(lab: LabResolver) { self.lab = lab }

  func read(_ written: [WrittenTest]) -> [LabTest] {
    var tests: [LabTest] = []
    var lines: [String: Int] = [:]
    defer { reporter.combination = nil }
    for test in written {
      reporter.combination = test.combination
      guard let name = test.tree.text("name") else { continue }
      let place = test.tree.place(of: "name")
      if let line = lines[name] {
        reporter.error(place, "a second test `\(name)`, the first is in line \(line); expected a name of its own")
      }
      lines[name] = place.line
      tests.append(read(test.tree, name))
    }
    return tests
  }

  private func read(_ test: Tree, _ name: String) -> LabTest {
    var history = ChangeHistory(lab: lab.tree)
    let items = test.items("steps")
    var steps = items.compactMap { step($0, &history) }
    if let entry = test.entry("check") {
      if let check = check(entry.value) { steps.append(TestStep(place: entry.keyPlace, action: check)) }
    } else if let last = items.last, let traffic = last["traffic"], traffic["for"] == nil {
      reporter.error(
        last.place, "traffic in the last step runs for no time; expected `for`, or steps behind it")
    }
    let always = test.items("always").compactMap { step($0, &history) }
    for item in test.items("always") {
      if let entry = item["traffic"]?.entry("for") {
        reporter.error(entry.keyPlace, "`for` of traffic under `always`, which runs all the time; take it out")
      }
    }
    return LabTest(
      name: name, place: test.place, steps: steps, always: always, times: test.number("repeat").map(Int.init) ?? 1)
  }

  private func step(_ item: Tree, _ history: inout ChangeHistory) -> TestStep? {
    guard let word = TestKeys.words.first(where: { item[$0] != nil }), let body = item[word] else { return nil }
    checkExpectation(item, word)
    let within = item.text("within").flatMap(parseTime).map { UInt32(clamping: $0 / 1000) }
    if let entry = item.entry("within"), let reason = Self.onlyOnce(word) {
      reporter.error(entry.keyPlace, "`within` beside \(reason); expected beside a check")
    }
    return action(word, body, item["expect"], &history).map {
      TestStep(place: item.place, withinMilliseconds: within, action: $0)
    }
  }

  /// Why a step of this word is not tried again; nil: it is.
  private static func onlyOnce(_ word: String) -> String? {
    switch word {
    case "fault", "rollback": "a \(word), which is done at once"
    case "apply": "an apply, which is done at once"
    case "traffic": "traffic, which is judged when it ends"
    case "parallel": "`parallel`, whose steps have their own"
    default: nil
    }
  }

  private func action(_ word: String, _ body: Tree, _ expect: Tree?, _ history: inout ChangeHistory) -> TestAction? {
    switch word {
    case "trace": trace(body, expect)
    case "no-transit": noTransit(body)
    case "route": route(body, expect)
    case "session": session(body, expect)
    case "exec": exec(body, expect)
    case "nat": nat(body, expect)
    case "rate": rate(body, expect)
    case "traffic": traffic(body, expect)
    case "check": check(body)
    case "plan": plan(body, expect, &history)
    case "apply": apply(body, expect, &history)
    case "rollback": rollback(body, &history)
    case "parallel": parallel(body, &history)
    default: fault(body)
    }
  }

  private func check(_ tree: Tree) -> TestAction? {
    var words: [String] = []
    for item in tree.isList ? tree.list : [tree] {
      guard let word = item.text, CheckStep.known.contains(word) else { continue }
      if words.contains(word) { reporter.error(item.place, "check: `\(word)` stands twice; expected each word once") }
      words.append(word)
    }
    return words.isEmpty ? nil : .check(CheckStep(words: words))
  }

  /// Versions of the lab are made one after the other: by one of the lists at most.
  private func parallel(_ tree: Tree, _ history: inout ChangeHistory) -> TestAction? {
    var changing: Tree?
    let lists = tree.list.map { list in
      list.list.compactMap { item -> TestStep? in
        if item["apply"] != nil || item["rollback"] != nil {
          if let changing, changing.place != list.place {
            reporter.error(
              item.place,
              "a change in a second list of `parallel`, beside the one in line \(changing.place.line); "
                + "expected them in one list, where their order is known")
          }
          changing = changing ?? list
        }
        return step(item, &history)
      }
    }
    return lists.isEmpty ? nil : .parallel(lists)
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

  func checkSession(_ node: String, _ neighbor: String, interface: String?, at place: Place) {
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
}
