internal import Topology

/// A link between two nodes of the lab.
struct ImportedLink {
  var a: LinkEnd
  var b: LinkEnd
  var mtu: String?
  var place: Place
  /// Of the two ends, as the result writes them; set by `AddressPlan`.
  var addresses: [[String]] = []

  var ends: [LinkEnd] { [a, b] }
}

struct LinkEnd {
  var node: ImportedNode
  var interface: String
  var place: Place

  /// `NODE:INTERFACE`
  var name: String { "\(node.name):\(interface)" }
}
