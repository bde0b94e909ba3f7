/// The number of a stream (RFC 9113 section 5.1.1): odd for those that the client opened.
public typealias StreamID = Int32

/// One field line. Pseudo-header fields (`:method`, `:status`) are ordinary ones that come first in a list.
public struct HeaderField: Hashable, Sendable {
  /// In lower case (RFC 9113 section 8.2.1).
  public var name: String
  /// Octets: a value need not be UTF-8 (RFC 9110 section 5.5).
  public var value: [UInt8]
  /// Never put into a compression table, here or by those who pass it on (RFC 7541 section 7.1.3).
  public var isSensitive: Bool

  public init(_ name: String, _ value: String, isSensitive: Bool = false) {
    self.init(name, bytes: Array(value.utf8), isSensitive: isSensitive)
  }

  public init(_ name: String, bytes: [UInt8], isSensitive: Bool = false) {
    self.name = name
    value = bytes
    self.isSensitive = isSensitive
  }

  /// The value as text; octets that are no UTF-8 are replaced.
  public var text: String { String(decoding: value, as: UTF8.self) }

  /// What the field counts for in a header list (RFC 9113 section 6.5.2).
  var listBytes: Int { name.utf8.count + value.count + Self.overhead }

  static let overhead = 32
}

extension HeaderField: CustomStringConvertible {
  public var description: String { "\(name): \(isSensitive ? "…" : text)" }
}
