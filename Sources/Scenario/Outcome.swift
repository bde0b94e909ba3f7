/// What a step, or a test, came to.
public enum Outcome: Sendable, Equatable {
  case held
  /// What was expected and what was found instead, in the words of the field.
  case failed([Mismatch])
  /// There is no verdict, and why: never a pass.
  case undecided(String)

  public var holds: Bool { self == .held }
}

/// One expectation that did not come true.
public struct Mismatch: Sendable, Equatable {
  /// `forward path`, `next hop`, `exit code`.
  public var subject: String
  public var expected: String
  public var found: String

  public init(_ subject: String, expected: String, found: String) {
    self.subject = subject
    self.expected = expected
    self.found = found
  }
}

/// `h1 → customer → isp1`
func arrows(_ path: [String]) -> String {
  path.isEmpty ? "no node" : path.joined(separator: " → ")
}
