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
    for (name, value) in RouteMatcher.parameters(query) {
      switch name {
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
}
