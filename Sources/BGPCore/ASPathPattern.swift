/// A regular expression over an AS path.
public struct ASPathPattern: Hashable, Sendable {
  public let text: String
  /// nil: not a valid expression.
  public init?(_ text: String) { self.text = text }
}
