import NetTypes

/// An address and where it was written; allocated ones stand at their link or node.
struct PlacedAddress {
  var value: InterfaceAddress
  var place: Place
}

/// A node while the lab is being resolved.
struct NodeDraft {
  var name: String
  var place: Place
  /// What is written for it alone, and that over `defaults:`.
  var own: Tree
  var merged: Tree
  /// nil: missing or wrong, and reported.
  var kind: NodeKind?
  var asn: ASNumber?
  var routerID: IPv4Address?
  var networks: [IPPrefix] = []
  var loopbacks: [PlacedAddress] = []
  var config: String?
  var routes: [StaticRoute] = []
  /// Its link ends, in the order of the file; position + 2 is the ifindex.
  var interfaces: [EndID] = []

  var isSpeaker: Bool { asn != nil && (kind?.forwards ?? false) }
  var isNetloomSpeaker: Bool { asn != nil && kind == .router }

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

struct EndDraft {
  var node: Int
  var place: Place
  /// "" until given out.
  var interface: String
  var ifindex: UInt32 = 0
  var addresses: [PlacedAddress] = []

  func address(_ family: AddressFamily) -> InterfaceAddress? {
    addresses.first { $0.value.address.family == family }?.value
  }
}

struct LinkDraft {
  var place: Place
  var tree: Tree
  var a: EndDraft
  var b: EndDraft
  /// Index of its segment, when an end is a switch.
  var segment: Int?

  subscript(side: LinkSide) -> EndDraft {
    get { side == .a ? a : b }
    set { if side == .a { a = newValue } else { b = newValue } }
  }
}

struct SegmentDraft {
  var switches: [Int] = []
  var members: [EndID] = []
  var subnets: [AddressFamily: IPPrefix] = [:]
}
