import ControlProtocol
import FoundationEssentials
import NetTypes
import PathProof

/// Between the protobuf messages, whose bytes are `Data`, and the types of this module.
extension IPAddress {
  /// Nil unless there are 4 or 16 bytes.
  init?(message bytes: Data) { self.init(bytes: Array(bytes)) }

  var messageBytes: Data { Data(bytes) }
}

extension LabGraph {
  /// The lab of a request, with what became of its capture points.
  init(_ request: NLTraceRequest, interfaces: [ObservedInterface]) {
    self.init(
      interfaces: interfaces,
      nodes: request.nodes.map { node in
        LabNode(
          name: node.name, isSwitch: node.kind == "switch",
          addresses: Set(node.addresses.compactMap { IPAddress(message: $0) }))
      },
      links: request.adjacencies.map {
        (InterfacePlace($0.nodeA, $0.interfaceA), InterfacePlace($0.nodeB, $0.interfaceB))
      })
  }
}

extension NLPathReport {
  init(_ report: PathReport) {
    self.init()
    path = report.path
    hops = report.hops.map(NLHop.init)
    paths = report.paths.map { counted in
      var message = NLCountedPath()
      message.path = counted.path
      message.packets = UInt64(counted.packets)
      return message
    }
    packets = UInt64(report.packets)
    lost = UInt64(report.lost)
    lastSeen = report.lastSeen?.description ?? ""
    drops = report.drops.map(NLDrop.init)
  }
}

extension NLDrop {
  init(_ drop: Drop) {
    self.init()
    node = drop.node
    interface = drop.interface ?? ""
    sent = drop.sent
    packets = UInt64(drop.packets)
    reason = drop.reason.rawValue
    detail = drop.detail
  }
}

extension NLHop {
  init(_ hop: PathHop) {
    self.init()
    node = hop.node
    `in` = hop.inbound ?? ""
    out = hop.outbound ?? ""
    us = hop.microseconds ?? 0
    joinedBy = hop.joinedBy.rawValue
    guard let rewrite = hop.nat else { return }
    if let change = rewrite.source { (nat.sourceFrom, nat.sourceTo) = change.texts }
    if let change = rewrite.destination { (nat.destinationFrom, nat.destinationTo) = change.texts }
  }
}

extension Rewrite.Change {
  /// Both sides as text; ports only where one changed.
  var texts: (String, String) {
    from.port == to.port ? ("\(from.address)", "\(to.address)") : ("\(from)", "\(to)")
  }
}

extension Symmetry {
  var message: NLTraceReply.Verdict {
    switch self {
    case .yes: .yes
    case .no: .no
    case .undecided: .undecided
    case .notApplicable: .notApplicable
    }
  }
}
