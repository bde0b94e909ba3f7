import EventLoop
import Netlink

/// Why a lab cannot be built, as one line for the person who ran `up`.
struct BuildError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }

  init(_ error: SystemError) { description = "\(error)" }

  init(node: String, _ error: KernelError) { description = "node \(node): \(error)" }
}
