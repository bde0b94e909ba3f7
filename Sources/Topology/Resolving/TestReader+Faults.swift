extension TestReader {
  func fault(_ tree: Tree) -> TestAction? {
    if tree.text == "kill-controller" { return .fault(FaultStep(kind: .killController)) }
    guard let kind = FaultStep.Kind.allCases.first(where: { tree[$0.rawValue] != nil }), let value = tree[kind.rawValue]
    else { return nil }
    let step: FaultStep? =
      switch kind {
      case .linkDown, .linkUp: link(value).map { FaultStep(kind: kind, targets: $0.ends) }
      case .flap: flap(value)
      case .loss, .delay, .jitter, .rate: impairment(kind, value)
      case .kill, .start, .killSpeaker: node(kind, value)
      case .killController: killController(value)
      case .resetSession: resetSession(value)
      case .partition: partition(value)
      }
    return step.map(TestAction.fault)
  }

  private func node(_ kind: FaultStep.Kind, _ value: Tree) -> FaultStep? {
    guard let text = value.text, let index = lab.lookUp(text, at: value.place) else { return nil }
    if kind == .killSpeaker, !lab.nodes[index].isSpeaker, lab.nodes[index].merged["asn"] == nil {
      reporter.error(value.place, "kill-speaker: `\(text)` speaks no BGP; expected a router with an `asn`")
    }
    return FaultStep(kind: kind, targets: [text])
  }

  private func killController(_ value: Tree) -> FaultStep {
    if value.text == "false" { reporter.error(value.place, "kill-controller: `false`; expected `true`") }
    return FaultStep(kind: .killController)
  }

  private func resetSession(_ value: Tree) -> FaultStep? {
    let targets = value.list.compactMap(\.text)
    guard targets.count == 2, lab.lookUp(targets[0], at: value.list[0].place) != nil,
      checkEndpoint(targets[1], at: value.list[1].place)
    else { return nil }
    let parts = targets[1].split(separator: ":", maxSplits: 1).map(String.init)
    checkSession(targets[0], parts[0], interface: parts.count == 2 ? parts[1] : nil, at: value.place)
    return FaultStep(kind: .resetSession, targets: targets)
  }

  private func flap(_ value: Tree) -> FaultStep? {
    let down = milliseconds(value, "down", FaultLimits.flapMilliseconds)
    let up = milliseconds(value, "up", FaultLimits.flapMilliseconds)
    guard let link = value["link"].flatMap(link) else { return nil }
    var step = FaultStep(kind: .flap, targets: link.ends)
    step.downMilliseconds = down ?? 1000
    step.upMilliseconds = up ?? 1000
    step.times = value.number("times").map(Int.init)
    return step
  }

  private func impairment(_ kind: FaultStep.Kind, _ value: Tree) -> FaultStep? {
    guard let link = value["link"].flatMap(link) else { return nil }
    var step = FaultStep(kind: kind, targets: link.ends)
    step.from = from(value, link)
    checkEnds(kind, of: link, from: step.from, value)
    switch kind {
    case .loss: step.percent = value.text("percent").flatMap(parsePartsPerMillion).map { Double($0) / 10_000 }
    case .rate: step.bitsPerSecond = value.text("rate").flatMap { $0 == "0" ? 0 : parseRate($0) }
    default:
      step.microseconds = value.text(kind.rawValue).flatMap(parseDelay)
      if let draft = link.draft, draft.tree["delay"] == nil, let place = value["link"]?.place {
        reporter.error(
          place,
          "\(kind.rawValue): this link (line \(draft.place.line)) declares no `delay`; "
            + "expected `delay: 0ms` there, so that a fault can raise it")
      }
    }
    return step
  }

  /// What the lab would refuse at run time: loss is the receiver's, and a switch passes frames on before any rule for
  /// packets sees them; a rate takes the place of a shaper.
  private func checkEnds(_ kind: FaultStep.Kind, of link: NamedLink, from: String?, _ value: Tree) {
    guard kind == .loss || kind == .rate, let draft = link.draft else { return }
    // One that is written and names no end was reported.
    if from == nil, let written = value["from"], !written.isAbsent { return }
    let place = value[from == nil ? "link" : "from"]?.place ?? value.place
    for end in [draft.a, draft.b] {
      let node = lab.nodes[end.node]
      let sends = from == nil || from == node.name
      let receives = from == nil || from != node.name
      if kind == .loss, receives, lab.isSwitch(end.node) {
        reporter.error(
          place,
          "loss: `\(node.name)` is a switch, which loses nothing of what it receives; expected "
            + "`from: \(node.name)`, for what it sends")
        return
      }
      if kind == .rate, sends, let shape = node.merged["qos"]?[end.interface]?["egress"]?["shape"] {
        reporter.error(
          place,
          "rate: `\(node.name):\(end.interface)` is shaped already (line \(shape.place.line)); "
            + "expected one rate to an interface")
        return
      }
    }
  }

  /// The node at the end that `from` names.
  private func from(_ value: Tree, _ link: NamedLink) -> String? {
    guard let from = value["from"], let text = from.text, !from.isAbsent, checkEndpoint(text, at: from.place) else {
      return nil
    }
    guard let end = link.ends.first(where: { $0 == text || $0.hasPrefix("\(text):") }) else {
      reporter.error(
        from.place, "from: `\(text)` is no end of the link; expected `\(link.ends[0])` or `\(link.ends[1])`")
      return nil
    }
    return String(end.prefix { $0 != ":" })
  }

  private func partition(_ value: Tree) -> FaultStep? {
    var lines: [String: Int] = [:]
    let groups = value.list.map { group in
      group.list.compactMap { item -> String? in
        guard let text = item.text, !item.isAbsent, lab.lookUp(text, at: item.place) != nil else { return nil }
        if let line = lines[text] {
          reporter.error(item.place, "`\(text)` stands in line \(line) already; expected each node in one group")
        }
        lines[text] = item.place.line
        return text
      }
    }
    guard groups.count > 1 else { return nil }
    var step = FaultStep(kind: .partition)
    step.groups = groups
    return step
  }

  private struct NamedLink {
    /// As they are written.
    var ends: [String]
    /// nil: they are not the ends of one link, and that was reported.
    var draft: LinkDraft?
  }

  private func link(_ value: Tree) -> NamedLink? {
    let ends = value.list.filter { item in item.text.map { checkEndpoint($0, at: item.place) } ?? false }
    guard ends.count == 2 else { return nil }
    let names = ends.compactMap(\.text)
    let index = lab.links.indices.first { index in
      Set(names) == [lab.name(EndID(link: index, side: .a)), lab.name(EndID(link: index, side: .b))]
    }
    if index == nil, lab.linksAreWhole {
      reporter.error(value.place, "`\(names[0])` and `\(names[1])` are not the two ends of one link")
    }
    return NamedLink(ends: names, draft: index.map { lab.links[$0] })
  }
}
