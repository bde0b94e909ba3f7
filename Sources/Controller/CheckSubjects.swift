internal import Intent
internal import NetTypes
internal import Topology

/// What the checks of a whole lab look at: the prefixes that somebody originates, and who sends to them.
struct CheckSubjects: Sendable {
  struct Destination: Sendable {
    let prefix: IPPrefix
    /// A host's or router's in the prefix, else one of the prefix that nobody has.
    let address: IPAddress
    /// Who answers there.
    let holder: String?
  }

  /// One per originated prefix, but for aggregates whose both ends are originated as prefixes of their own.
  let destinations: [Destination]
  /// Nodes that can send and that others can answer: hosts, and routers with an address that others have a route to.
  let senders: [ResolvedNode]

  /// - Parameter runs: the node has processes at this time.
  init(_ lab: ResolvedLab, runs: (String) -> Bool) {
    let running = lab.nodes.filter { $0.kind != .switch && runs($0.name) }
    let originated = Set(running.flatMap(\.networks))
    var seen: Set<IPPrefix> = []
    var destinations: [Destination] = []
    for prefix in running.flatMap(\.networks) where seen.insert(prefix).inserted {
      let candidates = running.filter(\.kind.isHost) + running.filter(\.kind.forwards)
      // An aggregate's own part: what is originated more specifically is looked at as itself.
      let inner = originated.filter { $0.length > prefix.length && prefix.contains($0.address) }
      func isOwn(_ address: IPAddress) -> Bool {
        prefix.contains(address) && !inner.contains { $0.contains(address) }
      }
      let holder = candidates.lazy.compactMap { node in
        node.addresses.first(where: isOwn).map { (node.name, $0) }
      }.first
      guard let address = holder?.1 ?? Self.ends(of: prefix).first(where: isOwn) else { continue }
      destinations.append(Destination(prefix: prefix, address: address, holder: holder?.0))
    }
    self.destinations = destinations
    senders = running.filter { $0.kind.isHost ? !$0.addresses.isEmpty : $0.isKnownOutside }
  }

  /// The first address behind the prefix's own and the last but one, or the only one.
  private static func ends(of prefix: IPPrefix) -> [IPAddress] {
    guard Int(prefix.length) < prefix.family.bits else { return [prefix.address] }
    var first = prefix.address.bytes
    first[first.count - 1] |= 1
    var last = prefix.address.bytes
    for bit in Int(prefix.length)..<prefix.family.bits - 1 { last[bit / 8] |= 0x80 >> UInt8(bit % 8) }
    return [first, last].compactMap { IPAddress(bytes: $0) }
  }

  /// Pairs of a sender and a destination: at most `limit`, so chosen that every sender and every destination is in as
  /// many as every other.
  func pairs(limit: Int) -> [(from: String, to: Destination)] {
    let held = destinations.filter { $0.holder != nil }
    guard !held.isEmpty else { return [] }
    let choices = senders.enumerated().map { index, sender in
      held.indices.map { held[(index + $0) % held.count] }.filter {
        $0.holder != sender.name && sender.hasFamily($0.address.family)
      }
    }
    var pairs: [(String, Destination)] = []
    for round in held.indices {
      for (sender, own) in zip(senders, choices) where round < own.count {
        if pairs.count == limit { return pairs }
        pairs.append((sender.name, own[round]))
      }
    }
    return pairs
  }

  /// Pairs of senders, each once.
  func senderPairs(limit: Int) -> [(from: String, to: String)] {
    var pairs: [(String, String)] = []
    guard senders.count > 1 else { return [] }
    for distance in 1..<senders.count {
      for index in senders.indices where index + distance < senders.count {
        if pairs.count == limit { return pairs }
        pairs.append((senders[index].name, senders[index + distance].name))
      }
    }
    return pairs
  }
}
