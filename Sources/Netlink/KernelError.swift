internal import Glibc

/// What the kernel answered when it refused: the error number, the call, and the sentence it gave with it.
public struct KernelError: Error, Hashable, Sendable {
  /// An errno value, positive.
  public var number: Int32
  /// The call or request that failed, e.g. `setns` or `RTM_NEWLINK`.
  public var call: String
  /// What the call was about (a path, a name); may be empty.
  public var subject: String
  /// The kernel's extended acknowledgement (NLMSGERR_ATTR_MSG); empty where it gave none.
  public var kernelText: String
  /// Place of the refused request in its batch, from 0; nil where there was no batch.
  public var message: Int?
  /// Where in the refused request the reason lies, in bytes from its start (NLMSGERR_ATTR_OFFS); nil where not told.
  public var offset: Int?

  public init(number: Int32, call: String, subject: String = "", kernelText: String = "", message: Int? = nil) {
    self.number = number
    self.call = call
    self.subject = subject
    self.kernelText = kernelText
    self.message = message
  }

  /// The error of the system call that has just failed on this thread.
  public init(call: String, subject: String = "") {
    self.init(number: errno, call: call, subject: subject)
  }

  /// The object stands already (EEXIST).
  public var isAlreadyThere: Bool { number == EEXIST }
  /// The object does not exist: routes ESRCH, nexthops and rules ENOENT, links ENODEV, addresses EADDRNOTAVAIL.
  public var isNotThere: Bool { [ESRCH, ENOENT, ENODEV, EADDRNOTAVAIL].contains(number) }
  /// Not allowed to this process (EPERM, EACCES).
  public var isDenied: Bool { number == EPERM || number == EACCES }
}

extension KernelError: CustomStringConvertible {
  public var description: String {
    var text = call
    if !subject.isEmpty { text += " \(subject)" }
    if let message { text += " (request \(message))" }
    text += ": " + String(cString: strerror(number)).lowercased()
    return kernelText.isEmpty ? text : text + " (\(kernelText))"
  }
}
