// From the plan to namespaces, links and addresses, with as few requests to the kernel as possible:
//
//   1. one thread: for each node unshare, descriptor, netlink socket, sysctls, TCP 179
//   2. for each node one datagram: the veth pairs that it is the first end of (both ends placed by descriptor), bridge;
//      for a link that declares a delay two pairs, see DelayedLinks
//   3. for each node one datagram: lo, and for each interface master, up, addresses, permanent neighbours
//
// Step 3 comes after all of step 2 because an interface can only go up once its peer stands. Nothing waits for
// anything else: ifindexes and MACs are in the plan.
import CLinux
import Glibc
import ControlProtocol
import EventLoop
import NetTypes
import Netlink
import Relay

/// A node's namespace while it is being built.
struct BuiltNamespace {
  let namespace: Namespace
  let socket: NetlinkSocket
  let listeners: [Int32]
}

struct NetworkBuilder {
  let nodes: [NLNodePlan]
  let links: [PlannedLink]
  /// For each node the ends of links in it: place of the link, and whether it is the link's `a`.
  let ends: [[(link: Int, isA: Bool)]]

  /// The bridge that a node of kind `switch` is.
  static let bridge = "br0"

  init(_ plan: NLMachinePlan) throws(BuildError) {
    nodes = plan.nodes
    var places: [String: Int] = [:]
    for (place, node) in plan.nodes.enumerated() where places.updateValue(place, forKey: node.name) != nil {
      throw BuildError("two nodes are called \(node.name)")
    }
    var links: [PlannedLink] = []
    var ends = [[(link: Int, isA: Bool)]](repeating: [], count: plan.nodes.count)
    links.reserveCapacity(plan.links.count)
    for link in plan.links {
      let parsed = try PlannedLink(link, nodes: places)
      ends[parsed.a.node].append((links.count, true))
      ends[parsed.b.node].append((links.count, false))
      links.append(parsed)
    }
    self.links = links
    self.ends = ends
  }

  /// Step 1.
  func makeNamespaces() throws(BuildError) -> [BuiltNamespace] {
    var failed = ""
    var missing: Set<String> = []
    do throws(SystemError) {
      return try onThrowawayThread { () throws(SystemError) -> [BuiltNamespace] in
        var built: [BuiltNamespace] = []
        built.reserveCapacity(nodes.count)
        var fresh: NodeSysctls.Fresh?
        for node in nodes {
          failed = node.name
          try systemCall("unshare", "a network namespace") { unshare(CLONE_NEWNET) }
          let known = fresh ?? NodeSysctls.Fresh()
          fresh = known
          built.append(try fillNamespace(node, known, &missing))
        }
        for setting in missing.sorted() { MachineLog.warning("this machine does not allow \(setting) here") }
        return built
      }
    } catch {
      throw BuildError("node \(failed): \(error)")
    }
  }

  /// What belongs into the namespace that the calling thread has just made.
  private func fillNamespace(
    _ node: NLNodePlan, _ fresh: NodeSysctls.Fresh, _ missing: inout Set<String>
  ) throws(SystemError) -> BuiltNamespace {
    let built: (Namespace, NetlinkSocket)
    do throws(KernelError) {
      let namespace = try Namespace.current()
      let socket = try NetlinkSocket(receiveBuffer: 256 << 10)
      try NodeSysctls.apply(node, fresh, &missing)
      built = (namespace, socket)
    } catch {
      throw SystemError(error.call, error.number, error.subject)
    }
    return BuiltNamespace(
      namespace: built.0, socket: built.1, listeners: node.listener ? try Listeners.open() : [])
  }

  /// Steps 2 and 3.
  /// - Parameter relays: where the far ends of links that declare a delay stand.
  func makeLinks(_ built: [BuiltNamespace], relays: Namespace?) throws(BuildError) {
    for (place, node) in nodes.enumerated() {
      var batch = MessageBatch(capacity: 8192)
      if node.kind == "switch" { try addBridge(place, to: &batch) }
      for end in ends[place] where end.isA {
        if let relays, links[end.link].delay != nil {
          try addDelayedPairs(end.link, built, relays, to: &batch)
        } else {
          addPair(links[end.link], built, to: &batch)
        }
      }
      try commit(&batch, built[place].socket, node.name)
    }
    for (place, node) in nodes.enumerated() {
      var batch = MessageBatch(capacity: 8192)
      batch.setLink(.loopback, up: true)
      for prefix in node.loopbacks {
        batch.addAddress(try InterfaceAddress(prefix, of: "\(node.name):lo"), to: .loopback)
      }
      if node.kind == "switch" { batch.setLink(bridgeIndex(place), up: true) }
      for end in ends[place] { configure(end, in: place, &batch) }
      try commit(&batch, built[place].socket, node.name)
    }
  }

  private func commit(_ batch: inout MessageBatch, _ socket: NetlinkSocket, _ node: String) throws(BuildError) {
    if batch.isEmpty { return }
    do throws(KernelError) {
      try socket.commit(&batch)
    } catch {
      throw BuildError(node: node, error)
    }
  }

  private func addBridge(_ place: Int, to batch: inout MessageBatch) throws(BuildError) {
    guard let name = InterfaceName(Self.bridge) else { throw BuildError("\(Self.bridge) is no interface name") }
    batch.addBridge(name, index: bridgeIndex(place))
  }

  /// Behind the indexes of the ports.
  private func bridgeIndex(_ place: Int) -> InterfaceIndex {
    let highest = ends[place].map { own($0).index.rawValue }.max() ?? 1
    return InterfaceIndex(rawValue: max(highest, 1) + 1)
  }

  private func addPair(_ link: PlannedLink, _ built: [BuiltNamespace], to batch: inout MessageBatch) {
    let near = VethEnd(link.a.name, index: link.a.index, mac: link.a.mac)
    let far = VethEnd(link.b.name, in: built[link.b.node].namespace, index: link.b.index, mac: link.b.mac)
    batch.addVethPair(near, far, mtu: link.mtu)
  }

  /// Each end is paired with one in the relays' namespace.
  private func addDelayedPairs(
    _ number: Int, _ built: [BuiltNamespace], _ relays: Namespace, to batch: inout MessageBatch
  ) throws(BuildError) {
    let (link, far) = (links[number], RelayedLink(self, number))
    for (end, letter, index) in [(link.a, "a", far.a), (link.b, "b", far.b)] {
      guard let name = InterfaceName("l\(number)\(letter)") else { throw BuildError("too many links: \(number)") }
      batch.addVethPair(
        VethEnd(end.name, in: built[end.node].namespace, index: end.index, mac: end.mac),
        VethEnd(name, in: relays, index: InterfaceIndex(rawValue: index)), mtu: link.mtu)
    }
  }

  func own(_ end: (link: Int, isA: Bool)) -> PlannedEnd { end.isA ? links[end.link].a : links[end.link].b }

  private func configure(_ end: (link: Int, isA: Bool), in place: Int, _ batch: inout MessageBatch) {
    let own = own(end)
    if nodes[place].kind == "switch" {
      batch.setLink(own.index, .init(up: true, master: bridgeIndex(place), linkLocalAddress: false))
    } else {
      batch.setLink(own.index, up: true)
    }
    for address in own.addresses { batch.addAddress(address, to: own.index) }
    addNeighbours(end, &batch)
  }

  /// The far end's addresses, known beforehand. The kernel forgets them when the interface is set down.
  func addNeighbours(_ end: (link: Int, isA: Bool), _ batch: inout MessageBatch) {
    let link = links[end.link]
    guard link.permanentNeighbours else { return }
    let (own, far) = end.isA ? (link.a, link.b) : (link.b, link.a)
    for address in far.addresses {
      batch.addPermanentNeighbour(address.address, mac: far.mac, on: own.index)
    }
  }
}
