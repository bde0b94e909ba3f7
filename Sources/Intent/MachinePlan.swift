public import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
public import Topology
internal import SwiftProtobuf

/// What `netloom up` knows beside the topology.
public struct PlanContext: Sendable {
  /// KEY=VALUE of `up`.
  public var environment: [String]
  /// The machine's name.
  public var machine: String
  /// Directory of the netloom-* executables.
  public var programs: String
  /// Path of the topology's copy in the run directory.
  public var topology: String
  /// Who brings the lab up, for the history.
  public var author = ""
  /// Port of the machine's loopback where the API is served too; 0: nowhere but on its socket.
  public var apiPort: UInt16 = 0

  public init(environment: [String], machine: String, programs: String, topology: String) {
    self.environment = environment
    self.machine = machine
    self.programs = programs
    self.topology = topology
  }
}

/// Everything netloom-machine needs to build the lab.
public func machinePlan(of lab: ResolvedLab, in context: PlanContext) -> NLMachinePlan {
  var plan = NLMachinePlan()
  plan.lab = lab.name
  plan.baseDirectory = lab.baseDirectory
  // Where the file itself has rules for packets, every node is observed and may be changed from the start.
  let isManaged =
    lab.nodes.contains { !$0.functions.isEmpty } || lab.links.contains { $0.impairment?.needsAgents == true }
  plan.nodes = lab.nodes.map { nodePlan($0, of: lab, isManaged: isManaged) }
  plan.links = lab.links.map(linkPlan)
  plan.needs = lab.nodes.flatMap(kernelNeeds)
  plan.hosts = lab.hosts
  plan.environment = context.environment
  plan.machine = context.machine
  plan.programs = context.programs
  plan.topology = context.topology
  plan.file = lab.file
  plan.author = context.author
  plan.apiPort = UInt32(context.apiPort)
  return plan
}

private func nodePlan(_ node: ResolvedNode, of lab: ResolvedLab, isManaged: Bool) -> NLNodePlan {
  var plan = NLNodePlan()
  plan.name = node.name
  plan.kind = node.kind.rawValue
  plan.loopbacks = (node.loopbacks + lab.serviceAddresses(of: node)).map(NLPrefix.init)
  // Only where equal paths can exist: each write costs as much as half a link.
  let spread = node.kind.forwards && node.interfaces.count > 2 ? spreadByPorts : [:]
  let transparent = node.pod?.interception == .tproxy ? answersToMarks : [:]
  plan.sysctls = everyNode.merging(spread) { $1 }.merging(transparent) { $1 }
    .merging(node.sysctls) { _, written in written }
  plan.environment = node.environment
  plan.exec = node.exec
  plan.commands = node.commands
  if let config = node.config { plan.daemon.config = config }
  // One without a storage of its own has a daemon all the same.
  if node.kind == .registry { plan.daemon.config = node.config ?? "" }
  if let container = node.container { plan.container = NLContainerPlan(container) }
  plan.agent = node.hasAgent || isManaged
  plan.listener = node.bgp != nil && !node.kind.isDaemon
  // With the metrics of an agent's: one that comes later finds them as it wants them.
  if !plan.agent { plan.routes = node.routes.map { staticRoute($0, metric: RouteMetric.static.value($0.to.family)) } }
  plan.forwarding = node.kind.forwards
  plan.labels = node.labels
  plan.sidecar = node.pod?.sidecar.rawValue ?? ""
  if node.pod?.sidecar == .netloom { plan.tracing = lab.tracing(of: node) ?? "" }
  plan.transparent = node.pod?.interception == .tproxy
  plan.publish = node.functions.published.map { port in
    var published = NLPublished()
    published.outer = UInt32(port.outer)
    published.inner = UInt32(port.inner)
    return published
  }
  return plan
}

/// DESIGN decision 4: the kernel's defaults depend on the machine, a lab's do not. What the file writes comes after.
private let everyNode = [
  "net.ipv4.conf.all.rp_filter": "0",
  "net.ipv4.conf.default.rp_filter": "0",
  "net.ipv4.ip_default_ttl": "255",
  "net.ipv6.conf.all.hop_limit": "255",
  "net.ipv6.conf.default.hop_limit": "255",
  "net.ipv6.conf.all.accept_dad": "0",
  "net.ipv6.conf.default.accept_dad": "0",
]

/// What answers a marked packet bears its mark: it goes the way that the mark leads, whatever address it is for.
private let answersToMarks = [
  "net.ipv4.tcp_fwmark_accept": "1",
  "net.ipv4.fwmark_reflect": "1",
  "net.ipv6.fwmark_reflect": "1",
]

/// Several flows between two hosts spread over equal paths: ports count, not addresses alone.
private let spreadByPorts = [
  "net.ipv4.fib_multipath_hash_policy": "1",
  "net.ipv6.fib_multipath_hash_policy": "1",
]

/// The queueing disciplines that a node's shapers are made of.
private func kernelNeeds(_ node: ResolvedNode) -> [NLKernelNeed] {
  node.functions.qos.compactMap(\.shaper).flatMap { shaper in
    let kinds = shaper.ecn ? ["htb", "codel"] : shaper.classes.isEmpty ? ["tbf"] : ["htb"]
    return kinds.map { kind in
      var need = NLKernelNeed()
      need.node = node.name
      need.qdisc = kind
      need.origin = NLOrigin(shaper.origin)
      return need
    }
  }
}

private func linkPlan(_ link: ResolvedLink) -> NLLinkPlan {
  var plan = NLLinkPlan()
  plan.a = linkEnd(link.a)
  plan.b = linkEnd(link.b)
  plan.mtu = UInt32(link.mtu)
  plan.permanentNeighbors = link.permanentNeighbors
  if let impairment = link.impairment, impairment.canDelay {
    // Present also where both are 0: a fault may raise them.
    var delay = NLLinkDelay()
    delay.delayUs = impairment.delayMicroseconds
    delay.jitterUs = impairment.jitterMicroseconds
    plan.delay = delay
  }
  return plan
}

private func linkEnd(_ end: LinkEnd) -> NLLinkEnd {
  var plan = NLLinkEnd()
  plan.node = end.node
  plan.interface = end.interface
  plan.ifindex = end.ifindex
  plan.mac = .init(end.mac.bytes)
  plan.addresses = end.addresses.map(NLPrefix.init)
  return plan
}

extension ResolvedNode {
  /// netloom-node runs here: it keeps routes and BGP, NAT, filter and QoS, and a pod's connections to its sidecar. Hosts
  /// and switches without them need none.
  public var hasAgent: Bool { kind.forwards || kind == .pod || !functions.isEmpty }
}

extension NLContainerPlan {
  fileprivate init(_ settings: ContainerSettings) {
    self.init()
    image = settings.image.description
    arguments = settings.arguments ?? []
    replacesArguments = settings.arguments != nil
    memory = settings.memory ?? 0
    milliCpus = settings.milliCPUs ?? 0
    binds = settings.binds.map { bind in
      .with { ($0.source, $0.destination, $0.readOnly) = (bind.source, bind.destination, bind.readOnly) }
    }
    readyPort = UInt32(settings.readyPort ?? 0)
    readyPath = settings.readyPath ?? ""
  }
}

extension NLPrefix {
  /// The host address with its subnet's length.
  init(_ address: InterfaceAddress) {
    self.init()
    self.address = .init(address.address.bytes)
    length = UInt32(address.length)
  }

  init(_ prefix: IPPrefix) {
    self.init()
    address = .init(prefix.address.bytes)
    length = UInt32(prefix.length)
  }
}
