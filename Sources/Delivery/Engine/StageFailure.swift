/// Why a stage ended a run.
public struct StageFailure: Error, Equatable, CustomStringConvertible {
  public enum Ending: Sendable {
    /// What was asked for did not hold; production is as it was.
    case stopped
    /// Requests had moved, and went back.
    case rolledBack
    /// Somebody said no.
    case cancelled
    /// This machine.
    case environment
  }

  public var ending: Ending
  /// One line, with what to do next where that is known.
  public var reason: String

  public init(_ ending: Ending = .stopped, _ reason: String) {
    self.ending = ending
    self.reason = reason
  }

  public var description: String { reason }
}
