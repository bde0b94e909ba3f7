import CLinux
import Glibc

/// A system call that failed: which call, on what, and why.
public struct SystemError: Error, Equatable {
  /// The name of the call as in its manual page, e.g. `connect`.
  public let call: String
  /// The `errno` that it left.
  public let code: Int32
  /// What it was called on, for people: a path, an address. Empty when the call says it all.
  public let detail: String

  public init(_ call: String, _ code: Int32, _ detail: String = "") {
    self.call = call
    self.code = code
    self.detail = detail
  }

  /// The error that the call which has just failed left in `errno`.
  public static func last(_ call: String, _ detail: String = "") -> SystemError {
    SystemError(call, errno, detail)
  }

  /// The kernel's words for the code, e.g. `Connection refused`.
  public var text: String { String(cString: strerror(code)) }
}

extension SystemError: CustomStringConvertible {
  public var description: String { detail.isEmpty ? "\(call): \(text)" : "\(call) \(detail): \(text)" }
}

/// Runs one system call, again when a signal interrupted it, and turns -1 into a `SystemError`.
/// - Parameter detail: what it is called on; evaluated only when it fails.
@discardableResult
public func systemCall<Result: FixedWidthInteger & SignedInteger>(
  _ name: StaticString, _ detail: @autoclosure () -> String = "", _ body: () -> Result
) throws(SystemError) -> Result {
  while true {
    let result = body()
    if result != -1 { return result }
    let error = SystemError.last("\(name)", detail())
    if error.code != EINTR { throw error }
  }
}
