// What a request or a response says before its content, whichever version of HTTP carried it: HTTP/2 streams are
// turned into the same values (`RequestHead.init(method:…)`), so that routing, retries and filters exist once.

/// How the end of a message's content is known (RFC 9112 section 6.3).
public enum BodyFraming: Equatable, Sendable {
  /// There is no content.
  case none
  case length(UInt64)
  case chunked
  /// A response that ends with its connection.
  case untilClose
}

/// Methods that decide something here; every other token is passed on as it is.
public enum RequestMethod: UInt8, Sendable {
  case get, head, post, put, delete, connect, options, trace, patch, other

  init(_ fields: HeaderFields, _ range: Range<Int32>) {
    let slice = fields.slice(range)
    self =
      switch slice.count {
      case 3: slice.elementsEqual("GET".utf8) ? .get : slice.elementsEqual("PUT".utf8) ? .put : .other
      case 4: slice.elementsEqual("HEAD".utf8) ? .head : slice.elementsEqual("POST".utf8) ? .post : .other
      case 5: slice.elementsEqual("PATCH".utf8) ? .patch : slice.elementsEqual("TRACE".utf8) ? .trace : .other
      case 6: slice.elementsEqual("DELETE".utf8) ? .delete : .other
      case 7:
        slice.elementsEqual("OPTIONS".utf8) ? .options : slice.elementsEqual("CONNECT".utf8) ? .connect : .other
      default: .other
      }
  }

  /// RFC 9110 section 9.2.2: the request may be sent again when nobody knows whether it arrived.
  public var isIdempotent: Bool {
    switch self {
    case .get, .head, .put, .delete, .options, .trace: true
    case .post, .connect, .patch, .other: false
    }
  }
}

public struct RequestHead: Sendable {
  public var fields = HeaderFields()
  public internal(set) var method: RequestMethod = .other
  var methodRange: Range<Int32> = 0..<0
  var targetRange: Range<Int32> = 0..<0
  /// The minor version: 0 or 1.
  public internal(set) var minorVersion = 1
  public internal(set) var framing = BodyFraming.none
  /// Whether the connection may carry another request after this one.
  public internal(set) var keepsAlive = true
  /// The client waits for `100 (Continue)` before it sends the content (RFC 9110 section 10.1.1).
  public internal(set) var expectsContinue = false
  /// The client asks for another protocol on this connection (RFC 9110 section 7.8).
  public internal(set) var asksUpgrade = false

  /// Nothing yet.
  public init() {}

  /// A request that did not come as HTTP/1.1 text; nil where a part of it is nothing that HTTP allows.
  public init?(method: String, target: String, authority: String, fields: HeaderFields, framing: BodyFraming) {
    guard HeaderFields.isName(method), !target.isEmpty, target.utf8.allSatisfy(ByteClass.isVisible),
      authority.utf8.allSatisfy(ByteClass.isAuthority)
    else { return nil }
    self.fields = fields
    self.framing = framing
    methodRange = place(method.utf8)
    targetRange = place(target.utf8)
    self.method = RequestMethod(self.fields, methodRange)
    if !authority.isEmpty { self.fields.set("host", authority) }
  }

  public var methodName: String { String(decoding: fields.slice(methodRange), as: UTF8.self) }
  public var methodBytes: ArraySlice<UInt8> { fields.slice(methodRange) }

  /// Path and query as the request has them, or `*`.
  public var target: String { String(decoding: fields.slice(targetRange), as: UTF8.self) }
  public var targetBytes: ArraySlice<UInt8> { fields.slice(targetRange) }

  /// The target up to its query.
  public var path: ArraySlice<UInt8> {
    let target = targetBytes
    return target.firstIndex(of: UInt8(ascii: "?")).map { target[..<$0] } ?? target
  }

  /// What stands behind the question mark; nil where there is none.
  public var query: ArraySlice<UInt8>? {
    let target = targetBytes
    return target.firstIndex(of: UInt8(ascii: "?")).map { target[($0 + 1)...] }
  }

  /// The host that was asked for, with its port where one was written.
  public var authority: String? {
    fields.firstIndex(of: .host).map { String(decoding: fields.value(at: $0), as: UTF8.self) }
  }

  /// Puts another path and query in place of the target; nothing is done where it is no target.
  @discardableResult
  public mutating func setTarget(_ target: String) -> Bool {
    guard target.utf8.first == UInt8(ascii: "/"), target.utf8.allSatisfy(ByteClass.isVisible) else { return false }
    targetRange = place(target.utf8)
    return true
  }

  private mutating func place(_ bytes: String.UTF8View) -> Range<Int32> {
    let start = Int32(clamping: fields.storage.count)
    fields.storage.append(contentsOf: bytes)
    return start..<Int32(clamping: fields.storage.count)
  }
}

public struct ResponseHead: Sendable {
  public var fields = HeaderFields()
  public internal(set) var status = 0
  var reasonRange: Range<Int32> = 0..<0
  public internal(set) var minorVersion = 1
  public internal(set) var framing = BodyFraming.none
  /// Whether the connection may carry another response after this one.
  public internal(set) var keepsAlive = true

  init() {}

  public init(status: Int, fields: HeaderFields, framing: BodyFraming) {
    self.status = status
    self.fields = fields
    self.framing = framing
  }

  /// 1xx: another head follows (101 excepted: the protocol changes).
  public var isInterim: Bool { status >= 100 && status < 200 && status != 101 }

  public var reason: String {
    reasonRange.isEmpty
      ? ResponseHead.phrase(status) : String(decoding: fields.slice(reasonRange), as: UTF8.self)
  }

  /// The usual words for a status code (RFC 9110 section 15); empty for others.
  public static func phrase(_ status: Int) -> String { phrases[status] ?? "" }

  private static let phrases: [Int: String] = [
    100: "Continue", 101: "Switching Protocols", 200: "OK", 204: "No Content", 301: "Moved Permanently", 302: "Found",
    303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 413: "Content Too Large",
    414: "URI Too Long", 417: "Expectation Failed", 421: "Misdirected Request", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
  ]
}
