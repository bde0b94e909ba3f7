/// Which requests a tap wants: the query of `GET /tap?service=web&path=/cart&status=5xx&method=GET`. What is not given
/// matches all.
struct TapFilter: Sendable, Equatable {
  var service: String?
  /// Whole segments from the beginning of the path.
  var path: String?
  var method: String?
  /// A status, or a class of them as `5xx`.
  var status: String?

  init() {}

  init(query: ArraySlice<UInt8>?) {
    for pair in query?.split(separator: UInt8(ascii: "&")) ?? [] {
      let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { continue }
      let value = Self.decoded(parts[1])
      switch String(decoding: parts[0], as: UTF8.self) {
      case "service": service = value
      case "path": path = value
      case "method": method = value
      case "status": status = value
      default: break
      }
    }
  }

  /// - Parameters:
  ///   - method: nil for a connection of TCP, which has neither method, path nor status.
  func matches(service: String, method: String?, path: String?, status: Int) -> Bool {
    if let wanted = self.service, wanted != service { return false }
    if let wanted = self.method, wanted != method { return false }
    if let wanted = self.path {
      guard let path, path == wanted || path.hasPrefix(wanted.hasSuffix("/") ? wanted : wanted + "/") else {
        return false
      }
    }
    guard let wanted = self.status else { return true }
    let text = String(status)
    return wanted == text || wanted.hasSuffix("xx") && wanted.count == 3 && wanted.first == text.first
  }

  /// Percent-decoding (RFC 3986 section 2.1); what is no escape stays.
  private static func decoded(_ text: ArraySlice<UInt8>) -> String {
    var bytes: [UInt8] = []
    var rest = text
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
