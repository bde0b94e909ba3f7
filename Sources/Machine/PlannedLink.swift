import ControlProtocol
import FoundationEssentials
import NetTypes
import Netlink
import Relay

/// One end of a link with everything parsed, and what it must know of the far one.
struct PlannedEnd {
  let node: Int  // place in the plan
  let name: InterfaceName
  let index: InterfaceIndex
  let mac: MACAddress
  let addresses: [InterfaceAddress]
}

/// A link of the plan, parsed. Its nodes are named by their place in the plan.
struct PlannedLink {
  let a: PlannedEnd
  let b: PlannedEnd
  let mtu: UInt32
  let permanentNeighbours: Bool
  /// Of each direction; nil: a veth pair and nothing more.
  let delay: LinkDelay?

  init(_ link: NLLinkPlan, nodes: [String: Int]) throws(BuildError) {
    a = try PlannedEnd(link.a, nodes)
    b = try PlannedEnd(link.b, nodes)
    mtu = link.mtu == 0 ? 1500 : link.mtu
    permanentNeighbours = link.permanentNeighbors
    delay = link.hasDelay ? LinkDelay(link.delay) : nil
  }
}

extension PlannedEnd {
  init(_ end: NLLinkEnd, _ nodes: [String: Int]) throws(BuildError) {
    let place = "\(end.node):\(end.interface)"
    guard let node = nodes[end.node] else { throw BuildError("link \(place): there is no node \(end.node)") }
    guard let name = InterfaceName(end.interface) else {
      throw BuildError("link \(place): \(end.interface) is no interface name")
    }
    guard let mac = MACAddress(bytes: end.mac) else {
      throw BuildError("link \(place): the MAC address has \(end.mac.count) bytes")
    }
    self.node = node
    self.name = name
    self.mac = mac
    index = InterfaceIndex(rawValue: end.ifindex)
    var addresses: [InterfaceAddress] = []
    for prefix in end.addresses { addresses.append(try InterfaceAddress(prefix, of: place)) }
    self.addresses = addresses
  }
}

extension InterfaceAddress {
  init(_ prefix: NLPrefix, of place: String) throws(BuildError) {
    guard let address = IPAddress(bytes: prefix.address), let value = Self(address, length: Int(prefix.length)) else {
      throw BuildError("\(place): an address of \(prefix.address.count) bytes with length \(prefix.length)")
    }
    self = value
  }
}
