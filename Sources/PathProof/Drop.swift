public import NetTypes

/// Where packets of a flow ended, and why as far as something says so.
public struct Drop: Sendable, Equatable {
  /// That had them last.
  public var node: String
  /// Where they were last seen; nil: they were taken from the sender and left no interface.
  public var interface: String?
  /// They were seen leaving it, and never arrived at the far end.
  public var sent: Bool
  /// They came to the node they were addressed to, which never answered.
  public var atEnd: Bool
  /// What they were addressed to when they were last seen.
  public var destination: IPAddress?
  /// An ICMP error leaves two reasons: this one, and a next hop that does not answer.
  public var suspect: DropReason?
  public var packets: Int
  public var reason: DropReason
  /// What says so.
  public var detail: String

  public init(
    node: String, interface: String?, sent: Bool, atEnd: Bool = false, destination: IPAddress? = nil,
    suspect: DropReason? = nil, packets: Int, reason: DropReason, detail: String
  ) {
    self.node = node
    self.interface = interface
    self.sent = sent
    self.atEnd = atEnd
    self.destination = destination
    self.suspect = suspect
    self.packets = packets
    self.reason = reason
    self.detail = detail
  }
}

public enum DropReason: String, Sendable, Hashable, CaseIterable {
  case noRoute = "no-route"
  case ttl
  case filter
  /// Over a rate, dropped at once.
  case policer
  /// A queue was full.
  case shaper
  /// Declared random loss.
  case loss
  case mtu
  case reversePathFilter = "rp-filter"
  case noListener = "no-listener"
  case linkDown = "link-down"
  case unknown
}

/// What a node's kernel says: a counter that moved while the flow was under way, or its answer about a route.
public struct KernelEvidence: Sendable, Equatable {
  public var reason: DropReason
  /// How many packets it can stand for.
  public var packets: UInt64
  /// For people: the rule in the words of the file, the qdisc, the name in `/proc/net`, and its count.
  public var text: String

  public init(_ reason: DropReason, _ packets: UInt64, _ text: String) {
    self.reason = reason
    self.packets = packets
    self.text = text
  }
}
