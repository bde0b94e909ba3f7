// What rules change about heads, and the answers that the sidecar makes itself.
import HTTP1

extension HeaderFields {
  mutating func apply(_ changes: HeaderChanges) {
    for name in changes.remove { remove(name) }
    for pair in changes.set { set(pair.name, pair.value) }
    for pair in changes.add { append(pair.name, pair.value) }
  }
}

extension RequestHead {
  mutating func apply(_ rewrite: Rewrite, _ matchedPrefix: String) {
    if let host = rewrite.host { fields.set("host", host) }
    if let path = rewrite.path { setTarget(replaced(path, matchedPrefix)) }
  }

  /// Another path with the query of this one.
  func replaced(_ replacement: PathReplacement, _ matchedPrefix: String) -> String {
    let path = String(decoding: self.path, as: UTF8.self)
    let query = self.query.map { "?" + String(decoding: $0, as: UTF8.self) } ?? ""
    return replacement.apply(to: path, matchedPrefix: matchedPrefix) + query
  }
}

extension Redirect {
  func response(to head: RequestHead, _ matchedPrefix: String) -> ResponseHead {
    let authority = head.authority ?? ""
    // An IPv6 address stands in brackets, colons and all (RFC 3986 section 3.2.2).
    let bracket = authority.hasPrefix("[") ? authority.firstIndex(of: "]") : nil
    let nameEnd = bracket.map(authority.index(after:)) ?? authority.firstIndex(of: ":") ?? authority.endIndex
    let name = host ?? String(authority[..<nameEnd])
    let scheme = self.scheme ?? "http"
    let standard: UInt16 = scheme == "https" ? 443 : 80
    // Gateway API: a scheme without a port means its standard port; otherwise the port that was asked for stays.
    let asked = self.scheme == nil ? UInt16(authority[nameEnd...].dropFirst()) : nil
    let port = self.port ?? asked ?? standard
    let target = path.map { head.replaced($0, matchedPrefix) } ?? head.target
    var fields = HeaderFields()
    fields.append("Location", "\(scheme)://\(name)\(port == standard ? "" : ":\(port)")\(target)")
    fields.append("Content-Length", "0")
    return ResponseHead(status: status, fields: fields, framing: .none)
  }
}

extension Refusal {
  func response(hop: String) -> (head: ResponseHead, body: [UInt8]) {
    let text = "\(hop); \(reason)"
    let body = Array("\(text)\n".utf8)
    var fields = HeaderFields()
    if !fields.append("netloom-refused", text) { fields.append("netloom-refused", "\(word)") }
    fields.append("Content-Type", "text/plain")
    fields.append("Content-Length", "\(body.count)")
    return (ResponseHead(status: status, fields: fields, framing: .length(UInt64(body.count))), body)
  }
}
