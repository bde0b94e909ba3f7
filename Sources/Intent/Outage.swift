/// What of a lab is down, as far as anyone has seen: the observed state that desired state depends on.
public struct Outage: Hashable, Sendable {
  /// Indexes into `ResolvedLab.links` of links with an end that is not up.
  public var links: Set<Int>
  /// Nodes that were stopped; their links carry nothing.
  public var nodes: Set<String>
  /// Pods whose program is dead, or fails its health check: nothing is led to them.
  public var pods: Set<String>

  public init(links: Set<Int> = [], nodes: Set<String> = [], pods: Set<String> = []) {
    self.links = links
    self.nodes = nodes
    self.pods = pods
  }

  public static let none = Outage()
}
