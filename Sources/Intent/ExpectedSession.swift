/// One end of a BGP session that the topology asks for, as the controller expects it to be Established.
public struct ExpectedSession: Hashable, Sendable {
  /// The netloom speaker that reports it.
  public var node: String
  /// `NLNeighbor.session` there.
  public var key: String
  public var neighbor: String
  /// `NLNeighbor.session` at the far end; nil: a real daemon, which reports nothing.
  public var farKey: String?
  /// The local interface of a session on a link; "" for iBGP and multihop.
  public var interface: String

  public init(node: String, key: String, neighbor: String, farKey: String?, interface: String) {
    self.node = node
    self.key = key
    self.neighbor = neighbor
    self.farKey = farKey
    self.interface = interface
  }

  /// The far end is a real daemon: judged by this end only.
  public var isDaemon: Bool { farKey == nil }
}
