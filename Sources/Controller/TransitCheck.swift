internal import NetTypes
internal import NorthboundAPI
internal import Topology

/// Who would be in transit through one AS: between two other ASes, seen from outside.
struct TransitCheck: Sendable {
  let asn: UInt32
  /// A provider may carry what goes to or comes from its customers.
  let exceptCustomers: Bool
  /// ASes that are customers of `asn` by the topology.
  let customers: Set<UInt32>
  /// The AS a node stands in; hosts are in that of their router. Absent: none.
  let homes: [String: UInt32]

  init(asn: UInt32, exceptCustomers: Bool, lab: ResolvedLab, book: AddressBook) {
    self.asn = asn
    self.exceptCustomers = exceptCustomers
    var customers: Set<UInt32> = []
    for session in lab.sessions {
      for (near, far) in [(session.a, session.b), (session.b, session.a)] where near.asn.rawValue == asn {
        if near.settings.role == .provider { customers.insert(far.asn.rawValue) }
      }
    }
    self.customers = customers
    var homes: [String: UInt32] = [:]
    for node in lab.nodes {
      let gateways = node.routes.lazy.compactMap { book.owner(of: $0.gateway, from: node.name) }
      homes[node.name] = node.asn?.rawValue ?? gateways.compactMap { lab.node($0)?.asn?.rawValue }.first
    }
    self.homes = homes
  }

  /// Whether a path of AS numbers, one end first, crosses the AS between two others.
  func isTransit(_ path: [UInt32]) -> Bool {
    guard let first = path.firstIndex(of: asn), let last = path.lastIndex(of: asn) else { return false }
    guard first > path.startIndex, last < path.index(before: path.endIndex) else { return false }
    return !(exceptCustomers && (customers.contains(path[first - 1]) || customers.contains(path[last + 1])))
  }

  /// The AS path of a route, the viewer in front.
  func isLeak(_ route: BGPRoute, seenFrom viewer: UInt32) -> Bool {
    viewer != asn && route.usable && !route.rejected && isTransit([viewer] + route.asPath)
  }

  func isTransit(nodes: [String]) -> Bool { isTransit(nodes.compactMap { homes[$0] }) }

  /// Flows worth tracing: between one endpoint each of other ASes, neighbors of the AS first; at most `limit`. An AS
  /// without an address that others know a way to can still send: its packets show the way there.
  func pairs(_ lab: ResolvedLab, limit: Int) -> [(from: String, to: String)] {
    var endpoints: [(asn: UInt32, node: String, answers: Bool)] = []
    for number in neighborsFirst(lab) {
      let members = lab.nodes.filter { homes[$0.name] == number }
      if let host = members.first(where: \.kind.isHost) {
        endpoints.append((number, host.name, true))
      } else if let known = members.first(where: \.isKnownOutside) {
        endpoints.append((number, known.name, true))
      } else if let router = members.first(where: \.kind.forwards) {
        endpoints.append((number, router.name, false))
      }
    }
    var pairs: [(String, String)] = []
    for (index, first) in endpoints.enumerated() {
      for second in endpoints[(index + 1)...] where pairs.count < limit && (first.answers || second.answers) {
        if exceptCustomers, customers.contains(first.asn) || customers.contains(second.asn) { continue }
        pairs.append(second.answers ? (first.node, second.node) : (second.node, first.node))
      }
    }
    return pairs
  }

  private func neighborsFirst(_ lab: ResolvedLab) -> [UInt32] {
    let others = Set(homes.values).subtracting([asn])
    let neighbors = Set(
      lab.sessions.flatMap { [($0.a.asn.rawValue, $0.b.asn.rawValue), ($0.b.asn.rawValue, $0.a.asn.rawValue)] }
        .filter { $0.0 == asn }.map(\.1))
    return others.sorted { (neighbors.contains($0) ? 0 : 1, $0) < (neighbors.contains($1) ? 0 : 1, $1) }
  }

  /// Someone who answers inside the prefix: a host if there is one.
  func holder(of prefix: IPPrefix, in lab: ResolvedLab) -> (node: String, address: IPAddress)? {
    let hosts = lab.nodes.filter(\.kind.isHost) + lab.nodes.filter(\.kind.forwards)
    for node in hosts {
      if let address = node.addresses.first(where: prefix.contains) { return (node.name, address) }
    }
    return nil
  }
}
