internal import NetTypes
internal import Topology

extension LabIntent {
  /// The sessions that must be Established, one entry per netloom speaker. Not among them: sessions of stopped nodes,
  /// over links that are down, and iBGP between parts of an AS that was cut.
  public func expectedSessions(during outage: Outage) -> [ExpectedSession] {
    let ethernets = fabric.ethernets(during: outage)
    let parts = asParts(during: outage)
    return lab.sessions.filter { isPossible($0, ethernets, parts, outage) }.flatMap(ends)
  }

  /// The sessions that cannot stand: their far end is stopped, their link is down, or the AS is cut between them.
  /// Routes from one that is still Established are about to go. Where a loopback lies in a network that somebody
  /// originates, iBGP may stand over another AS: such a session is in neither list.
  public func brokenSessions(during outage: Outage) -> [ExpectedSession] {
    guard outage != .none else { return [] }
    let ethernets = fabric.ethernets(during: outage)
    let parts = asParts(during: outage)
    let networks = lab.nodes.flatMap(\.networks)
    let isOriginated = { (address: IPAddress) in networks.contains { $0.contains(address) } }
    return lab.sessions.filter { session in
      if !isCarried(session, ethernets, outage) { return true }
      return !isPossible(session, ethernets, parts, outage)
        && !(isOriginated(session.a.address) && isOriginated(session.b.address))
    }
    .flatMap(ends)
    .filter { !outage.nodes.contains($0.node) }
  }

  private func ends(_ session: ResolvedSession) -> [ExpectedSession] {
    [(session.a, session.b), (session.b, session.a)].compactMap { near, far in
      guard !near.daemon else { return nil }
      return ExpectedSession(
        node: near.node, key: near.key, neighbor: far.node, farKey: far.daemon ? nil : far.key,
        interface: near.interface ?? "")
    }
  }

  /// What an engineer should know about a lab in this state, e.g. an AS that was cut.
  public func warnings(during outage: Outage) -> [String] {
    members.keys.sorted().compactMap { asn -> String? in
      guard let family = families.first, members[asn, default: []].count > 1 else { return nil }
      let parts = IGPGraph(self, asn, family, outage).parts()
      guard parts.count > 1 else { return nil }
      let listed = parts.map { $0.joined(separator: " ") }.joined(separator: " | ")
      return "AS \(asn) is cut into \(parts.count) parts, iBGP runs within each: \(listed)"
    }
  }

  private struct PartKey: Hashable {
    var node: String
    var family: AddressFamily
  }

  /// The number of the part of its AS that a router stands in.
  private func asParts(during outage: Outage) -> [PartKey: Int] {
    var numbers: [PartKey: Int] = [:]
    let transports = Set(lab.sessions.filter { $0.kind == .internal }.map(\.transport))
    for asn in Set(lab.sessions.filter { $0.kind == .internal }.map(\.a.asn.rawValue)) {
      for family in transports {
        for part in IGPGraph(self, asn, family, outage).parts() {
          let number = numbers.count
          for node in part { numbers[PartKey(node: node, family: family)] = number }
        }
      }
    }
    return numbers
  }

  private func isPossible(
    _ session: ResolvedSession, _ ethernets: [String: Int], _ parts: [PartKey: Int], _ outage: Outage
  ) -> Bool {
    guard isCarried(session, ethernets, outage) else { return false }
    guard session.kind == .internal else { return true }
    return parts[PartKey(node: session.a.node, family: session.transport)]
      == parts[PartKey(node: session.b.node, family: session.transport)]
  }

  /// Both ends run, and what the session stands on, if it is one link or Ethernet, is up.
  private func isCarried(_ session: ResolvedSession, _ ethernets: [String: Int], _ outage: Outage) -> Bool {
    if outage.nodes.contains(session.a.node) || outage.nodes.contains(session.b.node) { return false }
    if let link = session.link { return !outage.links.contains(link) }
    guard let near = session.a.interface, let far = session.b.interface else { return true }
    guard let a = attachment(near, of: session.a.node, ethernets, outage),
      let b = attachment(far, of: session.b.node, ethernets, outage)
    else { return false }
    return a == b
  }

  /// The Ethernet an interface of a switched segment stands on; nil: its link is down.
  private func attachment(
    _ interface: String, of node: String, _ ethernets: [String: Int], _ outage: Outage
  ) -> Int? {
    guard let found = lab.node(node)?.interfaces.first(where: { $0.name == interface }),
      !outage.links.contains(found.link), !outage.nodes.contains(found.farNode)
    else { return nil }
    return ethernets[found.farNode]
  }
}
