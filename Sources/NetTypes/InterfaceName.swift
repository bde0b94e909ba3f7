/// The name of a network interface as Linux takes it: 1 to 15 bytes, no slash, no white space, no colon, not `.` or `..`
/// (`dev_valid_name` in the kernel's net/core/dev.c).
public struct InterfaceName: Hashable, Sendable {
  public let text: String

  public init?(_ text: some StringProtocol) {
    guard (1...15).contains(text.utf8.count), text != ".", text != "..",
      text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") })
    else { return nil }
    self.text = String(text)
  }
}

extension InterfaceName: CustomStringConvertible {
  public var description: String { text }
}
