/// Something a command cannot do, for the person who asked: one line, with what to do next.
public struct LabError: Error, Equatable, CustomStringConvertible {
  /// Who must react; the raw value is the exit code of the command.
  public enum Kind: Int32, Sendable {
    /// The thing asked for did not hold: the name is taken, the lab did not converge, it is not running.
    case didNotHold = 1
    /// The words of the command or a file.
    case usage = 2
    /// This machine: a permission, a kernel feature, a program that is missing.
    case environment = 3
    /// Ctrl-C.
    case interrupted = 130
  }

  public let kind: Kind
  public let message: String

  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  public var description: String { message }
}
