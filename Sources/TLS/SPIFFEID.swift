/// The name of a workload: a SPIFFE ID (SPIFFE-ID standard, section 2), `spiffe://TRUST-DOMAIN/PATH`.
public struct SPIFFEID: Hashable, Sendable {
  /// Who vouches for the name, e.g. `lab`. Letters are lower-case.
  public let trustDomain: String
  /// Empty, or segments that each begin with a slash, e.g. `/ns/default/sa/web`.
  public let path: String

  /// Reads an ID as strictly as the standard allows: the scheme in lower case, no user, port, query, fragment or
  /// percent-encoding, no empty, `.` or `..` segment, no slash at the end, at most 2048 bytes.
  public init?(_ text: String) {
    let scheme = "spiffe://"
    guard text.utf8.count <= Self.maximumBytes, text.utf8.starts(with: scheme.utf8) else { return nil }
    let rest = text.utf8.dropFirst(scheme.utf8.count)
    let slash = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
    guard Self.isTrustDomain(rest[..<slash]), Self.isPath(rest[slash...]) else { return nil }
    trustDomain = String(decoding: rest[..<slash], as: UTF8.self)
    path = String(decoding: rest[slash...], as: UTF8.self)
  }

  /// The ID of a workload's account: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`. Nil when a part has characters
  /// that an ID may not have.
  public init?(trustDomain: String, namespace: String = "default", serviceAccount: String) {
    guard !namespace.utf8.contains(UInt8(ascii: "/")), !serviceAccount.utf8.contains(UInt8(ascii: "/")) else {
      return nil
    }
    self.init("spiffe://\(trustDomain)/ns/\(namespace)/sa/\(serviceAccount)")
  }

  static let maximumBytes = 2048

  private static func isTrustDomain(_ bytes: Substring.UTF8View) -> Bool {
    (1...255).contains(bytes.count)
      && bytes.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
      }
  }

  private static func isPath(_ bytes: Substring.UTF8View) -> Bool {
    if bytes.isEmpty { return true }
    return bytes.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy(isSegment)
  }

  private static func isSegment(_ bytes: Substring.UTF8View) -> Bool {
    if bytes.isEmpty || bytes.elementsEqual(".".utf8) || bytes.elementsEqual("..".utf8) { return false }
    return bytes.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
      case UInt8(ascii: "0")...UInt8(ascii: "9"): true
      case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
      default: false
      }
    }
  }
}

extension SPIFFEID: CustomStringConvertible {
  public var description: String { "spiffe://\(trustDomain)\(path)" }
}
