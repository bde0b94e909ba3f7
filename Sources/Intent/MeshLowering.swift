internal import ControlProtocol
internal import FoundationEssentials
internal import Mesh
internal import NetTypes
public import Topology

extension ResolvedLab {
  /// The service that a pod belongs to.
  public func service(of node: ResolvedNode) -> Topology.MeshService? {
    node.pod?.service.flatMap { mesh?.service($0) }
  }

  /// Where a pod's sidecar sends spans, as its command line has it; nil: nowhere.
  func tracing(of pod: ResolvedNode) -> String? {
    guard let tracing = mesh?.tracing else { return nil }
    let collector = tracing.collector
    guard let address = IPAddress(collector.host) ?? address(of: collector.host, seenFrom: pod) else { return nil }
    let host = address.family == .ipv4 ? "\(address)" : "[\(address)]"
    return "http://\(host):\(collector.port)\(collector.path),\(tracing.sampling)"
  }

  /// One that the pod has the family of, IPv4 first. A pod's collector on itself is asked by loopback.
  private func address(of name: String, seenFrom pod: ResolvedNode) -> IPAddress? {
    guard name != pod.name else { return IPAddress("127.0.0.1") }
    let families = [AddressFamily.ipv4, .ipv6].filter { family in
      pod.interfaces.contains { $0.address(family) != nil }
    }
    guard let node = node(name) else { return nil }
    return families.lazy.compactMap { family in
      node.interfaces.lazy.compactMap { $0.address(family) }.first ?? node.loopback(family)
    }.first
  }

  /// Addresses of lo beside the node's own: those of its service, where routers lead them here.
  func serviceAddresses(of node: ResolvedNode) -> [InterfaceAddress] {
    guard let service = service(of: node), !service.announcedBy.isEmpty else { return [] }
    return service.addresses.compactMap { InterfaceAddress($0, length: $0.family.bits) }
  }

  /// nil: nothing of the node's goes through a sidecar.
  func interception(of node: ResolvedNode) -> NLInterception? {
    guard let mesh, let pod = node.pod, pod.sidecar != .none else { return nil }
    var interception = NLInterception()
    for service in mesh.services {
      for address in service.addresses {
        var one = NLServiceAddress()
        one.address = .init(address.bytes)
        one.port = UInt32(service.port)
        interception.services.append(one)
      }
    }
    interception.outboundPort = UInt32(SidecarPorts.outbound)
    interception.inboundPort = UInt32(SidecarPorts.inbound)
    interception.mark = SidecarPorts.mark
    if pod.interception == .tproxy { interception.transparentMark = SidecarPorts.transparentMark }
    if let service = service(of: node) {
      // What routers lead here is still addressed to the service.
      let ports = [service.target] + (service.announcedBy.isEmpty ? [] : [service.port])
      interception.ports = Set(ports).sorted().map(UInt32.init)
    }
    interception.origin.text = "sidecar"
    interception.origin.place = node.place.description
    return interception
  }
}
