/// The SHA-256 of an image's manifest (OCI image specification, "Digests"): `sha256:` and 64 lower-case hex digits.
public struct ImageDigest: Hashable, Sendable, CustomStringConvertible {
  /// The 64 digits.
  public let hex: String

  /// nil: not a digest.
  public init?(_ text: some StringProtocol) {
    guard text.hasPrefix("sha256:") else { return nil }
    let digits = text.dropFirst("sha256:".count)
    guard digits.utf8.count == 64, digits.utf8.allSatisfy({ isDigit($0) || (0x61...0x66).contains($0) }) else {
      return nil
    }
    hex = String(digits)
  }

  public var description: String { "sha256:" + hex }
}

/// The name of an image: `[REGISTRY:PORT/]NAME[:TAG][@sha256:…]`. Without a registry: of the machine's image store.
/// The first component is a registry when it holds a `.` or a `:` or is `localhost` and another one follows, as other
/// tools read it. Without tag and digest, the tag is `latest`.
public struct ImageReference: Hashable, Sendable, CustomStringConvertible {
  public var registry: String?
  public var name: String
  public var tag: String?
  public var digest: ImageDigest?

  public init(registry: String?, name: String, tag: String?, digest: ImageDigest?) {
    self.registry = registry
    self.name = name
    self.tag = tag
    self.digest = digest
  }

  public init(reading text: String) throws(Malformed) {
    var rest = text[...]
    var digest: ImageDigest?
    if let at = rest.firstIndex(of: "@") {
      digest = ImageDigest(rest[rest.index(after: at)...])
      guard digest != nil else { throw Self.malformed("after @: sha256: and 64 hex digits") }
      rest = rest[..<at]
    }
    var registry: String?
    if let slash = rest.firstIndex(of: "/") {
      let first = rest[..<slash]
      if first.contains(".") || first.contains(":") || first == "localhost" {
        guard Self.isRegistry(first) else { throw Self.malformed("a registry as HOST or HOST:PORT") }
        registry = String(first)
        rest = rest[rest.index(after: slash)...]
      }
    }
    var tag: String?
    if let colon = rest.lastIndex(of: ":") {
      tag = String(rest[rest.index(after: colon)...])
      guard Self.isTag(tag ?? "") else { throw Self.malformed("a tag of letters, digits, _, . and -") }
      rest = rest[..<colon]
    }
    guard Self.isName(rest) else {
      throw Self.malformed("a name of lower-case letters and digits, with ., _, - or / between them")
    }
    self.init(registry: registry, name: String(rest), tag: tag ?? (digest == nil ? "latest" : nil), digest: digest)
  }

  public var description: String {
    (registry.map { $0 + "/" } ?? "") + name + (tag.map { ":" + $0 } ?? "") + (digest.map { "@\($0)" } ?? "")
  }

  /// `[REGISTRY/]NAME:TAG`; nil: it is known by its digest alone.
  public var tagged: String? { tag.map { (registry.map { $0 + "/" } ?? "") + "\(name):\($0)" } }

  /// What was expected instead.
  public struct Malformed: Error, Equatable {
    public let expected: String
  }

  private static func malformed(_ expected: String) -> Malformed {
    Malformed(expected: "[REGISTRY:PORT/]NAME[:TAG][@sha256:…], \(expected)")
  }

  private static func isRegistry(_ text: Substring) -> Bool {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard let host = parts.first, !host.isEmpty, parts.count <= 2 else { return false }
    guard host.utf8.allSatisfy({ isAlphanumeric($0) || $0 == 0x2D || $0 == 0x2E }) else { return false }
    return parts.count == 1 || UInt16(parts[1]).map { $0 > 0 } == true
  }

  static func isTag(_ text: String) -> Bool {
    guard let first = text.utf8.first, text.utf8.count <= 128 else { return false }
    guard isAlphanumeric(first) || first == 0x5F else { return false }
    return text.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x5F || $0 == 0x2E || $0 == 0x2D }
  }

  static func isName(_ text: Substring) -> Bool {
    guard text.utf8.count <= 255 else { return false }
    return text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
      guard let first = part.utf8.first, let last = part.utf8.last else { return false }
      let isPlain = { (byte: UInt8) in isDigit(byte) || (0x61...0x7A).contains(byte) }
      return isPlain(first) && isPlain(last)
        && part.utf8.allSatisfy { isPlain($0) || $0 == 0x2E || $0 == 0x5F || $0 == 0x2D }
    }
  }
}

private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

private func isAlphanumeric(_ byte: UInt8) -> Bool {
  isDigit(byte) || (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte)
}
