/// Reads one match of a rule: HTTPRouteMatch or GRPCRouteMatch.
struct MatchReader {
  private let kind: MeshRoute.Kind

  init(_ kind: MeshRoute.Kind) { self.kind = kind }

  func read(_ place: ManifestPlace) -> RequestMatch? {
    guard let map = place.map() else { return nil }
    var match = RequestMatch()
    match.headers = map["headers"].map { readNamed($0, isHeader: true) } ?? []
    switch kind {
    case .http:
      match.path = map["path"].flatMap(readPath)
      match.method = map["method"]?
        .word(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])
      match.query = map["queryParams"].map { readNamed($0, isHeader: false) } ?? []
    case .grpc: match.path = map["method"].flatMap(readMethod)
    }
    map.end()
    return match
  }

  private func readPath(_ place: ManifestPlace) -> RequestMatch.Path? {
    guard let map = place.map() else { return nil }
    defer { map.end() }
    let value = map["value"]
    switch map["type"].map({ $0.word(["Exact", "PathPrefix", "RegularExpression"]) }) ?? "PathPrefix" {
    case "Exact":
      guard let value else { return .exact("/") }
      return value.absolutePath().map { .exact($0) }
    case "PathPrefix":
      guard let value else { return .prefix("/") }
      return value.absolutePath().map { .prefix(PathReplacement.trimmed($0)) }
    case "RegularExpression": return (value?.pattern()).map { .regularExpression($0) }
    default: return nil
    }
  }

  private func readMethod(_ place: ManifestPlace) -> RequestMatch.Path? {
    guard let map = place.map() else { return nil }
    defer { map.end() }
    let type = map["type"].map { $0.word(["Exact", "RegularExpression"]) } ?? "Exact"
    let (service, method) = (map["service"], map["method"])
    if service == nil, method == nil {
      place.refuse("needs a service or a method")
      return nil
    }
    switch type {
    case "Exact": return .grpc(service: service?.grpcName(), method: method?.grpcName())
    case "RegularExpression": return .grpcExpression(service: service?.pattern(), method: method?.pattern())
    default: return nil
    }
  }

  private func readNamed(_ place: ManifestPlace, isHeader: Bool) -> [NamedMatch] {
    var seen: Set<String> = []
    return place.list(atMost: 16).compactMap { item in
      guard let map = item.map() else { return nil }
      defer { map.end() }
      let type = map["type"].map { $0.word(["Exact", "RegularExpression"]) } ?? "Exact"
      let valuePlace = map.required("value")
      let text = type == "RegularExpression" ? valuePlace?.pattern() : valuePlace?.string()
      guard let type, let namePlace = map.required("name"), let value = text,
        let name = isHeader ? namePlace.fieldName() : namePlace.string()
      else { return nil }
      if !seen.insert(isHeader ? name.lowercased() : name).inserted { namePlace.refuse("is there twice") }
      return NamedMatch(name: name, value: value, isExpression: type == "RegularExpression")
    }
  }
}

// MARK: - Values with a syntax of their own

extension ManifestPlace {
  /// A path that begins with a slash and is in normal form, so that it means the same to every proxy.
  func absolutePath() -> String? {
    guard let text = string() else { return nil }
    let lower = text.lowercased()
    let wrong =
      !text.hasPrefix("/") || text.utf8.count > 1024
      || ["//", "/./", "/../", "%2f", "#", "?"].contains { lower.contains($0) }
      || lower.hasSuffix("/.") || lower.hasSuffix("/..") || text.utf8.contains { $0 <= 0x20 || $0 == 0x7F }
    if !wrong { return text }
    refuse("“\(text)” is no path in normal form")
    return nil
  }

  /// What stands in place of a prefix: a path, or nothing.
  func prefixPath() -> String? {
    if case .string("") = value.content { return "/" }
    return absolutePath()
  }

  /// RFC 9110 section 5.1: a token.
  func fieldName() -> String? {
    guard let text = string() else { return nil }
    if !text.isEmpty, text.utf8.count <= 256, text.utf8.allSatisfy(Self.isTokenByte) { return text }
    refuse("“\(text)” is no name of a header field")
    return nil
  }

  /// RFC 9110 section 5.5, without control characters.
  func fieldValue() -> String? {
    guard let text = string() else { return nil }
    if text.utf8.count <= 4096, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) { return text }
    refuse("is no value of a header field")
    return nil
  }

  func hostname() -> String? {
    guard let text = string() else { return nil }
    let fits = text.utf8.allSatisfy { byte in
      (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x2E
    }
    if fits, (1...253).contains(text.utf8.count) { return text }
    refuse("“\(text)” is no host name")
    return nil
  }

  /// The name of a gRPC service or method.
  func grpcName() -> String? {
    guard let text = string() else { return nil }
    let fits = text.utf8.allSatisfy { byte in
      (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == 0x5F || byte == 0x2E
    }
    if fits, !text.isEmpty { return text }
    refuse("“\(text)” is no name of a gRPC service or method")
    return nil
  }

  /// A regular expression that every sidecar takes for the same.
  func pattern() -> String? {
    guard let text = string() else { return nil }
    if TextPattern(text) != nil { return text }
    refuse("“\(text)” is no regular expression of the POSIX kind (extended; \\d, \\w and \\s are known)")
    return nil
  }

  /// Gateway API Duration (GEP-2257), e.g. `1h30m`, `500ms`, a day at most. Milliseconds.
  func duration() -> Int? {
    guard let text = string() else { return nil }
    if let milliseconds = Self.milliseconds(text) {
      if milliseconds <= 86_400_000 { return milliseconds }
      refuse("“\(text)” is more than a day")
      return nil
    }
    refuse("“\(text)” is no duration: up to four numbers of up to five digits, each with h, m, s or ms")
    return nil
  }

  static func milliseconds(_ text: String) -> Int? {
    var rest = text[...]
    var (total, parts) = (0, 0)
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      guard (1...5).contains(digits.count), let number = Int(digits) else { return nil }
      rest = rest.dropFirst(digits.count)
      guard let unit = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)].first(where: { rest.hasPrefix($0.0) })
      else { return nil }
      rest = rest.dropFirst(unit.0.count)
      total += number * unit.1
      parts += 1
    }
    return (1...4).contains(parts) ? total : nil
  }

  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }
}
