internal import NetTypes
internal import Topology

/// What a router knows of the pods behind an address that it announces for a service.
struct Announcement: Sendable {
  /// Pods by the address that the router sends to.
  private var pods: [IPAddress: String] = [:]

  func isWell(_ gateway: IPAddress, _ outage: Outage) -> Bool {
    guard let pod = pods[gateway] else { return true }
    return !outage.pods.contains(pod) && !outage.nodes.contains(pod)
  }

  static func all(of lab: ResolvedLab) -> [String: [IPPrefix: Announcement]] {
    var all: [String: [IPPrefix: Announcement]] = [:]
    for service in lab.mesh?.services ?? [] where !service.announcedBy.isEmpty {
      var announcement = Announcement()
      for node in lab.nodes where node.pod?.service == service.name {
        for address in node.interfaces.flatMap(\.addresses) { announcement.pods[address.address] = node.name }
      }
      for router in service.announcedBy {
        for address in service.addresses {
          guard let prefix = IPPrefix(address, length: address.family.bits) else { continue }
          all[router, default: [:]][prefix] = announcement
        }
      }
    }
    return all
  }
}

extension LabIntent {
  /// Whether a router can lead somewhere what comes for one of its networks; true for all that is no service's address.
  func isServed(_ network: IPPrefix, by node: ResolvedNode, _ outage: Outage) -> Bool {
    guard let announcement = announcements[node.name]?[network] else { return true }
    return node.routes.filter { $0.to == network }.flatMap(\.hops).contains { hop in
      isUp(hop.interface, of: node, outage) && announcement.isWell(hop.gateway, outage)
    }
  }

  /// Routers whose BGP depends on what is down.
  public func announcesServices(_ name: String) -> Bool { announcements[name] != nil }
}
