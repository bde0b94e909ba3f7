import NetTypes

/// Adjacency → one session, or one per family, with both ends' settings merged and checked against each other.
struct SessionBuilder {
  private let lab: LabResolver
  private let timers: BGPTimers
  private(set) var sessions: [ResolvedSession] = []

  init(lab: LabResolver) {
    self.lab = lab
    // Above 100 nodes a busy machine must not end sessions that are merely late.
    timers =
      lab.nodes.count > 100
      ? BGPTimers(keepalive: 10, hold: 30, connectMilliseconds: 1000)
      : BGPTimers(keepalive: 3, hold: 9, connectMilliseconds: 1000)
  }

  mutating func add(_ adjacency: Adjacency) {
    guard let transports = transports(adjacency) else { return }
    var a = settings(of: adjacency.a, adjacency)
    var b = settings(of: adjacency.b, adjacency)
    relate(&a, &b, adjacency)
    if !isDaemon(adjacency.a), !isDaemon(adjacency.b) { share(&a, &b, adjacency) }
    if adjacency.kind == .internal {
      let reflects = (lab.isReflector(adjacency.a.node), lab.isReflector(adjacency.b.node))
      a.client = reflects.0 && !reflects.1
      b.client = reflects.1 && !reflects.0
    } else {
      warnOfSilence(a, adjacency.a, towards: adjacency.b, adjacency.place)
      warnOfSilence(b, adjacency.b, towards: adjacency.a, adjacency.place)
    }
    for transport in transports.families {
      guard
        let endA = end(adjacency.a, towards: adjacency.b, transport, a, adjacency.kind),
        let endB = end(adjacency.b, towards: adjacency.a, transport, b, adjacency.kind)
      else { continue }
      sessions.append(
        ResolvedSession(
          kind: adjacency.kind, transport: transport, families: transports.split ? [transport] : lab.families,
          link: adjacency.link, a: endA, b: endB))
    }
  }

  private func isDaemon(_ speaker: Adjacency.Speaker) -> Bool { lab.nodes[speaker.node].kind?.isDaemon ?? false }

  private func name(_ speaker: Adjacency.Speaker) -> String { lab.nodes[speaker.node].name }

  /// `sessions:` of either end, or one over the lab's first family that carries all.
  private func transports(_ adjacency: Adjacency) -> (families: [AddressFamily], split: Bool)? {
    let written = [adjacency.a, adjacency.b].compactMap { $0.neighbor?["sessions"] }
    if written.count == 2, Set(written[0].list.compactMap(\.text)) != Set(written[1].list.compactMap(\.text)) {
      lab.reporter.error(
        max(written[0].place, written[1].place),
        "`sessions` differs at the two ends of `\(name(adjacency.a))` and `\(name(adjacency.b))`; write it at one end")
    }
    for list in written {
      var seen: Set<String> = []
      for item in list.list where item.text.map({ !seen.insert($0).inserted }) ?? false {
        lab.reporter.error(item.place, "`\(item.text ?? "")` stands twice in `sessions`")
      }
    }
    guard let first = written.first else {
      return lab.families.first.map { ([$0], false) }
    }
    let families = first.list.compactMap { item -> AddressFamily? in
      guard let family = item.text.flatMap(AddressFamily.init(word:)) else { return nil }
      if lab.families.contains(family) { return family }
      lab.reporter.error(item.place, "`\(family.word)` in a lab without \(family.title)")
      return nil
    }
    return (families, true)
  }

  private func settings(of speaker: Adjacency.Speaker, _ adjacency: Adjacency) -> NeighborSettings {
    let base = NeighborReader.timers(lab.nodes[speaker.node].merged["bgp"]?["timers"], base: timers, lab.reporter)
    let reader = NeighborReader(reporter: lab.reporter, timers: base)
    var settings = reader.settings(
      speaker.neighbor, isInternal: adjacency.kind == .internal, policies: &lab.policies)
    if adjacency.kind == .internal, let neighbor = speaker.neighbor {
      for key in ["relation", "roles"] where neighbor[key] != nil {
        lab.reporter.error(neighbor.place(of: key), "`\(key)` towards a router of the same AS; expected on eBGP")
      }
      if settings.ttlSecurity, speaker.end == nil {
        lab.reporter.error(
          neighbor.place(of: "ttl-security"),
          "`ttl-security` on iBGP between loopbacks, which may be hops apart; expected on a link")
      }
      settings.role = nil
      settings.roles = false
    }
    return settings
  }

  /// The relation, from the link or from either end's `neighbors:`, seen from both ends.
  private func relate(_ a: inout NeighborSettings, _ b: inout NeighborSettings, _ adjacency: Adjacency) {
    guard adjacency.kind == .external else { return }
    let tree = adjacency.link.map { lab.links[$0].tree }
    let fromLink = tree?.text("relation").flatMap(LinkRelation.init(rawValue:))?.role
    var said: [(role: Role, place: Place)] = []
    if let fromLink, let tree { said.append((fromLink, tree.place(of: "relation"))) }
    if let role = a.role, let neighbor = adjacency.a.neighbor { said.append((role, neighbor.place(of: "relation"))) }
    if let role = b.role, let neighbor = adjacency.b.neighbor {
      said.append((role.mirrored, neighbor.place(of: "relation")))
    }
    if let first = said.first, let other = said.first(where: { $0.role != first.role }) {
      lab.reporter.error(
        max(first.place, other.place),
        "two relations between `\(name(adjacency.a))` and `\(name(adjacency.b))` that contradict "
          + "each other (the other in line \(min(first.place, other.place).line)); under `neighbors` this node is named first"
      )
    }
    let silent = [tree, adjacency.a.neighbor, adjacency.b.neighbor].compactMap { $0 }.first {
      $0.bool("roles") == false
    }
    a.role = said.first?.role
    b.role = a.role?.mirrored
    a.roles = (a.role?.isRFC9234 ?? false) && silent == nil
    b.roles = a.roles
    let roles = [tree, adjacency.a.neighbor, adjacency.b.neighbor].compactMap { $0?["roles"] }.first
    if said.isEmpty, let roles { lab.reporter.error(roles.place, "`roles` without a `relation`; expected both") }
  }

  /// What is written on one end of a link between two netloom routers and must be the same on both.
  private func share(_ a: inout NeighborSettings, _ b: inout NeighborSettings, _ adjacency: Adjacency) {
    if let one = a.md5, let two = b.md5, one != two, let neighbor = adjacency.b.neighbor {
      lab.reporter.error(
        neighbor.place(of: "md5"),
        "`md5` differs from what `\(name(adjacency.a))` has for this session; write it at one end")
    }
    a.md5 = a.md5 ?? b.md5
    b.md5 = a.md5
    for (one, two) in [(adjacency.a, adjacency.b), (adjacency.b, adjacency.a)]
    where one.neighbor?.bool("ttl-security") == true && two.neighbor?.bool("ttl-security") == false {
      lab.reporter.error(
        two.neighbor?.place(of: "ttl-security") ?? adjacency.place,
        "`ttl-security: false` against `true` on `\(name(one))`; both ends need the same")
    }
    a.ttlSecurity = a.ttlSecurity || b.ttlSecurity
    b.ttlSecurity = a.ttlSecurity
  }

  /// RFC 8212: without a relation and a policy nothing passes over eBGP.
  private func warnOfSilence(
    _ settings: NeighborSettings, _ speaker: Adjacency.Speaker, towards far: Adjacency.Speaker, _ place: Place
  ) {
    // Beside errors, a relation that could not be read among them, it would only be noise.
    guard settings.role == nil, !isDaemon(speaker), !lab.reporter.failed else { return }
    let missing = [("import", settings.importPolicy), ("export", settings.exportPolicy)].filter { $0.1 == .unset }.map(
      \.0)
    guard !missing.isEmpty else { return }
    lab.reporter.warning(
      place,
      "no relation, and no \(missing.joined(separator: " and ")) policy on `\(name(speaker))` "
        + "for `\(name(far))`: nothing passes (RFC 8212)"
    )
  }

  private func end(
    _ speaker: Adjacency.Speaker, towards far: Adjacency.Speaker, _ transport: AddressFamily,
    _ settings: NeighborSettings, _ kind: ResolvedSession.Kind
  ) -> SessionEnd? {
    guard let asn = lab.nodes[speaker.node].asn, let address = speaker.addresses[transport],
      far.addresses[transport] != nil
    else { return nil }
    let farName = far.end.map { lab.name($0) } ?? name(far)
    return SessionEnd(
      node: name(speaker), asn: asn, daemon: isDaemon(speaker), address: address,
      interface: speaker.end.map { lab.end($0).interface }, key: "\(farName)/\(transport.word)",
      nextHopIPv4: speaker.addresses[.ipv4], nextHopIPv6: speaker.addresses[.ipv6], settings: settings)
  }
}
