import NetTypes

extension TestReader {
  func nat(_ tree: Tree, _ expect: Tree?) -> TestAction? {
    let index = node(tree, "node")
    if let index, lab.isSwitch(index) {
      reporter.error(
        tree.place(of: "node"),
        "node: `\(lab.nodes[index].name)` is a switch, which translates nothing; expected a node with addresses")
    }
    guard let flow = tree["flow"], flow.isMapping else { return nil }
    let transport = flow.text("proto").flatMap(TraceStep.Transport.init(rawValue:)) ?? .icmp
    let port = port(flow, transport, "flow")
    // Both are looked up, so that both are reported.
    let (from, to) = (sender(flow), target(flow))
    guard let index, let from, let to else { return nil }
    var step = NATStep(node: lab.nodes[index].name, from: lab.nodes[from].name, to: to, transport: transport)
    step.port = port
    step.family = flow.text("family").flatMap(AddressFamily.init(word:))
    step.reachable = expect == nil ? true : expect?.bool("reachable")
    step.untouched = expect?.text("translated") == "false"
    step.translated = expect?.text("translated").flatMap { IPAddress($0) }
    step.source = expect?.text("source").flatMap { IPAddress($0) }
    step.destination = expect?.text("destination").flatMap { IPAddress($0) }
    checkTranslations(step, expect)
    return .nat(step)
  }

  private func checkTranslations(_ step: NATStep, _ expect: Tree?) {
    for key in ["source", "destination"] where step.untouched {
      guard let entry = expect?.entry(key) else { continue }
      reporter.error(entry.keyPlace, "`\(key)` beside `translated: false`; expected one of them")
    }
    let family = step.family ?? IPAddress(step.to)?.family
    for (key, address) in [
      ("translated", step.translated), ("source", step.source), ("destination", step.destination),
    ] {
      guard let address, let family, address.family != family, let place = expect?.place(of: key) else { continue }
      reporter.error(place, "\(key): `\(address)` of a flow of \(family.title); expected an \(family.title) address")
    }
  }

  func rate(_ tree: Tree, _ expect: Tree?) -> TestAction? {
    let (from, to) = (sender(tree), target(tree))
    if let entry = tree.entry("rate"), tree["offer"] != nil {
      reporter.error(entry.keyPlace, "`rate` beside `offer`, which is the same; expected one of them")
    }
    let transport = tree.text("proto").flatMap(RateStep.Transport.init(rawValue:)) ?? .tcp
    if transport == .udp, tree["offer"] == nil, tree["rate"] == nil {
      reporter.error(tree.place, "a udp rate has no `offer`: udp sends as fast as it is told")
    }
    let time = milliseconds(tree, "for", 1...600_000)
    guard let from, let to else { return nil }
    var step = RateStep(from: lab.nodes[from].name, to: to, transport: transport, milliseconds: time ?? 10_000)
    step.port = tree.number("port").flatMap { UInt16(exactly: $0) } ?? 5201
    step.family = tree.text("family").flatMap(AddressFamily.init(word:))
    step.offered = (tree.text("offer") ?? tree.text("rate")).flatMap(parseRate)
    step.dscp = tree.text("dscp").flatMap(parseDSCP)
    step.minimum = expect?["mbit"]?.text("min").flatMap { Double($0) }
    step.maximum = expect?["mbit"]?.text("max").flatMap { Double($0) }
    step.limitedBy = expect?.text("limited-by").flatMap(RateStep.LimitedBy.init(rawValue:))
    (step.minimumDelay, step.maximumDelay) = delay(expect)
    checkOrder("mbit", step.minimum, step.maximum, expect)
    return .rate(step)
  }

  func traffic(_ tree: Tree, _ expect: Tree?) -> TestAction? {
    let (from, to) = (sender(tree), target(tree))
    let transport = tree.text("proto").flatMap(TraceStep.Transport.init(rawValue:)) ?? .udp
    checkLoad(tree, transport)
    let time = milliseconds(tree, "for", 1...3_600_000)
    guard let from, let to else { return nil }
    var step = TrafficStep(from: lab.nodes[from].name, to: to, transport: transport)
    step.port = transport == .icmp ? nil : tree.number("port").flatMap { UInt16(exactly: $0) } ?? 5202
    step.family = tree.text("family").flatMap(AddressFamily.init(word:))
    step.rate = tree.text("rate").flatMap(parseRate)
    step.packetsPerSecond = tree.number("packets-per-second")
    step.payload = tree.number("payload") ?? tree.text("payload").flatMap(parseSize)
    step.dscp = tree.text("dscp").flatMap(parseDSCP)
    step.milliseconds = time
    step.reachable = expect == nil ? true : expect?.bool("reachable")
    step.maximumLost = expect?["lost"]?.number("max").map(UInt64.init)
    step.minimumLoss = percent(expect, "min")
    step.maximumLoss = percent(expect, "max")
    step.maximumOutage = expect?["outage"]?.text("max").flatMap(parseTime).map { Double($0) / 1000 }
    step.minimum = expect?["mbit"]?.text("min").flatMap { Double($0) }
    step.maximum = expect?["mbit"]?.text("max").flatMap { Double($0) }
    (step.minimumDelay, step.maximumDelay) = delay(expect)
    checkOrder("mbit", step.minimum, step.maximum, expect)
    checkOrder("loss", step.minimumLoss, step.maximumLoss, expect)
    return .traffic(step)
  }

  private func checkLoad(_ tree: Tree, _ transport: TraceStep.Transport) {
    if let entry = tree.entry("packets-per-second"), tree["rate"] != nil {
      reporter.error(entry.keyPlace, "`packets-per-second` beside `rate`; expected one of them")
    }
    if transport == .icmp, let entry = tree.entry("port") {
      reporter.error(entry.value.place, "port: icmp has no ports; expected `proto: tcp` or `proto: udp` beside it")
    }
    if let size = tree.text("payload").flatMap(parseSize), !TrafficKeys.payloads.contains(Int(size)) {
      reporter.error(
        tree.place(of: "payload"),
        "payload: `\(tree.text("payload") ?? "")`; expected from "
          + "\(TrafficKeys.payloads.lowerBound)b to \(TrafficKeys.payloads.upperBound)b")
    }
  }

  private func percent(_ expect: Tree?, _ key: String) -> Double? {
    expect?["loss"]?.text(key).flatMap(parsePartsPerMillion).map { Double($0) / 10_000 }
  }

  /// Milliseconds.
  private func delay(_ expect: Tree?) -> (least: Double?, most: Double?) {
    func bound(_ key: String) -> Double? {
      expect?["delay"]?.text(key).flatMap(parseTime).map { Double($0) / 1000 }
    }
    checkOrder("delay", bound("min"), bound("max"), expect)
    return (bound("min"), bound("max"))
  }

  private func checkOrder(_ key: String, _ least: Double?, _ most: Double?, _ expect: Tree?) {
    guard let least, let most, least > most, let bounds = expect?[key] else { return }
    reporter.error(bounds.place(of: "max"), "max: `\(bounds.text("max") ?? "")` is less than `min`")
  }

  /// A time of whole milliseconds in a range; nil: not written, or reported.
  func milliseconds(_ tree: Tree, _ key: String, _ range: ClosedRange<UInt64>) -> UInt32? {
    guard let text = tree.text(key), let time = parseTime(text) else { return nil }
    if time % 1000 == 0, range.contains(time / 1000) { return UInt32(time / 1000) }
    reporter.error(
      tree.place(of: key), "\(key): `\(text)`; expected from \(range.lowerBound)ms to \(range.upperBound / 1000)s")
    return nil
  }
}
