// What a sidecar has to know of gRPC: which requests are calls, how a call has ended, and how to end one so that its
// client understands ("gRPC over HTTP2", Responses).
import HTTP1

/// Status codes of gRPC and those of HTTP that mean the same.
enum GRPCStatus {
  static let ok = 0
  static let cancelled = 1
  static let deadlineExceeded = 4
  static let permissionDenied = 7
  static let unimplemented = 12
  static let internalError = 13
  static let unavailable = 14
  static let unauthenticated = 16
  static let unknown = 2

  /// Whether the request is a call: `application/grpc`, with `+proto` or the like; not `application/grpc-web`.
  static func isCall(_ head: RequestHead) -> Bool {
    guard let index = head.fields.firstIndex(of: .contentType) else { return false }
    let value = head.fields.value(at: index)
    let name = "application/grpc".utf8
    guard value.count >= name.count, value.prefix(name.count).elementsEqual(name) else { return false }
    guard value.count > name.count else { return true }
    let next = value[value.startIndex + name.count]
    return next == UInt8(ascii: "+") || next == UInt8(ascii: ";")
  }

  /// `grpc-status` of trailers, or of a head that is all there is; nil where it is missing or no number.
  static func read(_ fields: HeaderFields) -> Int? {
    guard let index = fields.firstIndex(of: "grpc-status") else { return nil }
    let value = fields.value(at: index)
    guard !value.isEmpty, value.count <= 4 else { return nil }
    var status = 0
    for byte in value {
      guard (0x30...0x39).contains(byte) else { return nil }
      status = status * 10 + Int(byte - 0x30)
    }
    return status
  }

  /// The code for an answer that a proxy makes itself ("HTTP to gRPC Status Code Mapping"); an end of time is one here
  /// too, since it is the mesh's limit that has passed.
  static func of(_ status: Int) -> Int {
    switch status {
    case 400: internalError
    case 401: unauthenticated
    case 403: permissionDenied
    case 404: unimplemented
    case 504: deadlineExceeded
    case 429, 502, 503: unavailable
    default: unknown
    }
  }

  /// The status of HTTP for a code (google/rpc/code.proto), by which metrics, retries and outlier detection go.
  static func httpStatus(_ code: Int) -> Int {
    switch code {
    case ok: 200
    case cancelled: 499
    case 3, 9, 11: 400
    case deadlineExceeded: 504
    case 5: 404
    case 6, 10: 409
    case permissionDenied: 403
    case 8: 429
    case unimplemented: 501
    case unavailable: 503
    case unauthenticated: 401
    default: 500
    }
  }
}

extension Refusal {
  /// An answer without content, whose head carries the status (Trailers-Only).
  func grpcResponse(hop: String, _ status: Int) -> ResponseHead {
    let text = "\(hop); \(reason)"
    var fields = HeaderFields()
    fields.append("content-type", "application/grpc")
    fields.append("grpc-status", "\(status)")
    fields.append("grpc-message", Self.percentEncoded(text))
    if !fields.append("netloom-refused", text) { fields.append("netloom-refused", word) }
    return ResponseHead(status: 200, fields: fields, framing: .none)
  }

  /// Visible characters but the percent sign stay ("gRPC over HTTP2", Percent-Encoded).
  private static func percentEncoded(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      if byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "%") {
        result.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        let digits = String(byte, radix: 16, uppercase: true)
        result += "%" + (digits.count == 1 ? "0" : "") + digits
      }
    }
    return result
  }
}
