internal import NetTypes
internal import NorthboundAPI
internal import Topology

/// Judges AS paths by the relations of the file (RFC 7908): from the origin a route goes up to providers, across one
/// peering at most, then down to customers. A step that goes up or across after one that did not go up is a leak, and
/// the AS that made this step is the one that leaked.
struct ValleyCheck: Sendable {
  /// A step of a route from one AS to the next, by what the receiver is to the sender.
  enum Direction: Sendable { case up, across, down, free }

  struct Leak: Hashable, Sendable {
    /// Passed on what it should have kept to its customers.
    let leaker: UInt32
    let learnedFrom: UInt32
    let sentTo: UInt32
  }

  private struct Pair: Hashable, Sendable {
    let from: UInt32
    let to: UInt32
  }

  private var directions: [Pair: Direction] = [:]
  /// The router of an AS at a session with another one.
  private var borders: [Pair: String] = [:]

  init(_ lab: ResolvedLab) {
    for session in lab.sessions where session.kind == .external {
      for (near, far) in [(session.a, session.b), (session.b, session.a)] {
        let pair = Pair(from: near.asn.rawValue, to: far.asn.rawValue)
        let direction = Self.direction(near.settings.role)
        // Two links between two ASes with different relations say nothing of a path of AS numbers.
        if let other = directions[pair], other != direction {
          directions[pair] = .free
        } else {
          directions[pair] = direction
        }
        if borders[pair] == nil { borders[pair] = near.node }
      }
    }
    addExchanges(lab)
  }

  /// A route server puts no number of its own into a path: two of its clients stand side by side there, as peers.
  private mutating func addExchanges(_ lab: ResolvedLab) {
    var clients: [String: [SessionEnd]] = [:]
    for session in lab.sessions where session.kind == .external {
      for (near, far) in [(session.a, session.b), (session.b, session.a)]
      where near.settings.role == .routeServer || far.settings.role == .routeServerClient {
        clients[near.node, default: []].append(far)
      }
    }
    for members in clients.values {
      for near in members {
        for far in members where far.asn != near.asn {
          let pair = Pair(from: near.asn.rawValue, to: far.asn.rawValue)
          // What two of them have said of a session of their own goes before.
          if directions[pair] == nil { directions[pair] = .across }
          if borders[pair] == nil { borders[pair] = near.node }
        }
      }
    }
  }

  /// - Parameter role: what the sender is to the receiver.
  private static func direction(_ role: Role?) -> Direction {
    switch role {
    case .customer: .up
    case .provider: .down
    case .peer, .routeServer, .routeServerClient: .across
    case .sibling, .open, nil: .free
    }
  }

  /// The first step that is a leak; nil: none is, as far as the relations tell. `path`: the viewer in front, the origin
  /// last.
  func leak(in path: [UInt32]) -> Leak? {
    var ases: [UInt32] = []
    for asn in path.reversed() where asn != ases.last { ases.append(asn) }
    // The AS from which the route last came other than upward, and is to go down only.
    var learnedFrom: UInt32?
    for index in ases.indices.dropLast() {
      let (sender, receiver) = (ases[index], ases[index + 1])
      switch directions[Pair(from: sender, to: receiver)] ?? .free {
      case .up, .across:
        if let learnedFrom { return Leak(leaker: sender, learnedFrom: learnedFrom, sentTo: receiver) }
        if directions[Pair(from: sender, to: receiver)] == .across { learnedFrom = sender }
      case .down: learnedFrom = sender
      case .free: learnedFrom = learnedFrom.map { _ in sender }
      }
    }
    return nil
  }

  /// The router that sent it on.
  func router(of leak: Leak) -> String? { borders[Pair(from: leak.leaker, to: leak.sentTo)] }

  /// ASes that are nobody's provider and say so of every session: they have no business carrying what is between
  /// others. Only those with two neighbors or more can.
  func stubs(_ lab: ResolvedLab) -> [(asn: UInt32, node: String)] {
    var neighbors: [UInt32: Set<UInt32>] = [:]
    for pair in directions.keys { neighbors[pair.from, default: []].insert(pair.to) }
    var found: [(UInt32, String)] = []
    for node in lab.nodes {
      guard let asn = node.asn?.rawValue, !found.contains(where: { $0.0 == asn }), let others = neighbors[asn],
        others.count > 1,
        others.allSatisfy({ other in
          switch directions[Pair(from: asn, to: other)] {
          case .up, .across: true
          case .down, .free, nil: false
          }
        })
      else { continue }
      found.append((asn, node.name))
    }
    return found
  }
}
