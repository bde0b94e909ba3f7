/// A picture of a lab.
public struct TopologyDrawing: Sendable {
  public let lab: ResolvedLab
  public init(lab: ResolvedLab) { self.lab = lab }

  /// Graphviz text.
  public func dot() -> String { preconditionFailure("being written") }

  /// A drawing of its own layout; legible on light and dark backgrounds.
  public func svg() -> String { preconditionFailure("being written") }
}
