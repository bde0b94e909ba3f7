import NetTypes

/// An address and where it was written; allocated ones stand at their link or node.
struct PlacedAddress {
  var value: InterfaceAddress
  var place: Place
}

// Drafts are shared by reference: stages look things up in them very often, and a draft never leaves its resolver.

/// A node while the lab is being resolved.
final class NodeDraft {
  let name: String
  let place: Place
  /// What is written for it alone, and that over `defaults:`.
  let own: Tree
  let merged: Tree
  /// nil: missing or wrong, and reported.
  let kind: NodeKind?
  var asn: ASNumber?
  var routerID: IPv4Address?
  var networks: [IPPrefix] = []
  var loopbacks: [PlacedAddress] = []
  var config: String?
  var routes: [StaticRoute] = []
  var functions = PacketFunctions()
  /// Of pods.
  var pod: PodSettings?
  /// Of hosts and pods with an `image`.
  var container: ContainerSettings?
  /// Its link ends, in the order of the file; position + 2 is the ifindex.
  var interfaces: [EndID] = []

  init(name: String, place: Place, own: Tree, merged: Tree, kind: NodeKind?) {
    self.name = name
    self.place = place
    self.own = own
    self.merged = merged
    self.kind = kind
  }

  var isSpeaker: Bool { asn != nil && (kind?.forwards ?? false) }
  var isNetloomSpeaker: Bool { asn != nil && kind == .router }

  /// An AS number is written, and it was not one.
  var asnWasRefused: Bool { asn == nil && merged["asn"] != nil }

  func loopback(_ family: AddressFamily) -> IPAddress? {
    loopbacks.first { $0.value.address.family == family }?.value.address
  }
}

/// One end of one link.
struct EndID: Hashable {
  var link: Int
  var side: LinkSide

  var far: EndID { EndID(link: link, side: side == .a ? .b : .a) }
}

final class EndDraft {
  let node: Int
  let place: Place
  /// "" until given out.
  var interface: String
  var ifindex: UInt32 = 0
  var addresses: [PlacedAddress] = []

  init(node: Int, place: Place, interface: String) {
    self.node = node
    self.place = place
    self.interface = interface
  }

  func address(_ family: AddressFamily) -> InterfaceAddress? {
    addresses.first { $0.value.address.family == family }?.value
  }
}

final class LinkDraft {
  let place: Place
  let tree: Tree
  let a: EndDraft
  let b: EndDraft
  /// Index of its segment, when an end is a switch.
  var segment: Int?

  init(place: Place, tree: Tree, a: EndDraft, b: EndDraft) {
    self.place = place
    self.tree = tree
    self.a = a
    self.b = b
  }

  subscript(side: LinkSide) -> EndDraft { side == .a ? a : b }
}

struct SegmentDraft {
  var switches: [Int] = []
  var members: [EndID] = []
  var subnets: [AddressFamily: IPPrefix] = [:]
}
