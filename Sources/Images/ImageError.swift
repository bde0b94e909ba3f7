internal import EventLoop

/// Why something with an image did not succeed, for the person who asked: one line.
public struct ImageError: Error, Equatable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// A bad reference, a file that is not there.
    case usage
    /// No such image, tag or digest.
    case notFound
    /// The tag stands for other content.
    case conflict
    /// Content does not have the digest that was asked for.
    case mismatch
    /// The registry does not answer.
    case unreachable
    /// This machine: a program that is missing, a full disk, a permission, an image that is in use.
    case environment
  }

  public let kind: Kind
  public let message: String

  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  public var description: String { message }
}

/// A system call's failure as one of this machine's.
func onMachine<Result>(_ body: () throws(SystemError) -> Result) throws(ImageError) -> Result {
  do throws(SystemError) {
    return try body()
  } catch {
    throw ImageError(.environment, "the image store: \(error)")
  }
}
