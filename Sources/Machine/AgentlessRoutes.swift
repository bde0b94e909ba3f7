// Nodes without an agent, hosts and switches: their routes come from the plan. The kernel drops the routes of an
// interface that is set down and does not bring them back, and people delete routes, so a monitor in the namespace
// watches links and routes, for this and to tell the controller of their state.
import ControlProtocol
import EventLoop
import FoundationEssentials
import NetTypes
import Netlink

final class AgentlessRoutes {
  private let node: Node
  private let loop: EventLoop
  private let routes: [Route]
  private var monitor: Monitor?
  /// Links of the node by index, as last heard of.
  private(set) var links: [InterfaceIndex: Link] = [:]
  /// A link has changed.
  private let changed: () -> Void

  init(_ node: Node, ends: [PlannedEnd], loop: EventLoop, changed: @escaping () -> Void) throws(BuildError) {
    self.node = node
    self.loop = loop
    self.changed = changed
    var indexes: [String: InterfaceIndex] = ["lo": .loopback]
    for end in ends { indexes[end.name.text] = end.index }
    var routes: [Route] = []
    for route in node.plan.routes { routes.append(try Route(route, indexes, node: node.name)) }
    self.routes = routes
  }

  deinit {
    if let monitor { loop.unregister(monitor.fileDescriptor) }
  }

  /// Puts all routes in; a route whose link is down now is refused by the kernel and comes with the link.
  func install(_ socket: NetlinkSocket) throws(KernelError) {
    guard !routes.isEmpty else { return }
    var batch = MessageBatch(capacity: 1024)
    for route in routes { batch.setRoute(route) }
    for refusal in try socket.commitReportingEach(&batch) {
      let route = refusal.message.map { "\(routes[$0].destination)" } ?? ""
      MachineLog.note("\(node.name): route \(route): \(refusal)")
    }
  }

  /// Begins to watch the links.
  func watch() throws(KernelError) {
    let monitor = try Monitor([.links, .routes], in: node.namespace, receiveBuffer: 256 << 10)
    self.monitor = monitor
    try reread()
    do throws(SystemError) {
      try loop.register(monitor.fileDescriptor, .read) { [unowned self] _ in heard() }
    } catch {
      throw KernelError(number: error.code, call: error.call)
    }
  }

  private func heard() {
    do throws(KernelError) {
      guard let reading = try monitor?.read() else { return }
      var mustInstall = reading.missedSome
      if reading.missedSome { try reread() }
      for event in reading.events {
        switch event {
        case .link(let link):
          if link.isUp, links[link.index]?.isUp != true { mustInstall = true }
          links[link.index] = link
        case .linkRemoved(let link): links[link.index] = nil
        case .routeRemoved(let route): mustInstall = mustInstall || isOurs(route)
        default: break
        }
      }
      if mustInstall { try install(try NetlinkSocket(in: node.namespace)) }
    } catch {
      MachineLog.warning("\(node.name): watching links: \(error)")
    }
    changed()
  }

  private func isOurs(_ route: Route) -> Bool {
    routes.contains { $0.destination == route.destination && $0.metric == route.metric }
  }

  private func reread() throws(KernelError) {
    links = [:]
    for link in try NetlinkSocket(in: node.namespace).links() { links[link.index] = link }
  }
}

extension Route {
  /// Errors: an address or prefix that is none, an interface that the node does not have.
  init(_ route: NLRoute, _ indexes: [String: InterfaceIndex], node: String) throws(BuildError) {
    guard let address = IPAddress(bytes: route.prefix.address),
      let prefix = IPPrefix(address, length: Int(route.prefix.length))
    else { throw BuildError("node \(node): a route to no prefix") }
    var hops: [Hop] = []
    for hop in route.nextHops {
      var link: InterfaceIndex?
      if !hop.interface.isEmpty {
        guard let index = indexes[hop.interface] else {
          throw BuildError("node \(node): route to \(prefix): there is no interface \(hop.interface)")
        }
        link = index
      }
      hops.append(Hop(IPAddress(bytes: hop.gateway), link: link, weight: max(hop.weight, 1)))
    }
    let kind: RouteKind =
      switch route.kind {
      case .unreachable: .unreachable
      case .blackhole: .blackhole
      default: .unicast
      }
    self.init(prefix, hops: hops, kind: kind, protocol: .static, metric: route.metric)
  }
}
