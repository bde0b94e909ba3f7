// A manifest as its parser saw it, and a way through it that knows the place of everything and forgets no key. The
// parser itself (YAML) belongs to the embedding process.

/// One value of a manifest with its place in the file.
public struct ManifestValue: Sendable {
  public indirect enum Content: Sendable {
    case null
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case list([ManifestValue])
    /// In the order of the file; a key that is written twice is there twice.
    case map([(key: String, value: ManifestValue)])
  }

  public var content: Content
  /// From 1.
  public var line: Int
  public var column: Int

  public init(_ content: Content, line: Int = 0, column: Int = 0) {
    self.content = content
    self.line = line
    self.column = column
  }
}

/// Something in a manifest that is wrong or not supported.
public struct ManifestError: Error, Sendable, Equatable, CustomStringConvertible {
  /// `spec.rules[0].filters[1].type`
  public var path: String
  public var message: String
  public var line: Int
  public var column: Int

  public var description: String { path.isEmpty ? message : "\(path): \(message)" }
}

/// What was found wrong so far.
final class ManifestFindings {
  private(set) var errors: [ManifestError] = []

  func add(_ message: String, _ path: String, _ value: ManifestValue) {
    errors.append(ManifestError(path: path, message: message, line: value.line, column: value.column))
  }
}

/// One value, where it stands, and what a reader may ask of it. Whatever does not fit is a finding, and the answer nil.
struct ManifestPlace {
  let value: ManifestValue
  let path: String
  let findings: ManifestFindings

  func refuse(_ message: String) { findings.add(message, path, value) }

  var kindOfContent: String {
    switch value.content {
    case .null: "nothing"
    case .boolean: "a boolean"
    case .integer, .number: "a number"
    case .string: "a string"
    case .list: "a list"
    case .map: "a map"
    }
  }

  func string() -> String? {
    if case .string(let text) = value.content { return text }
    refuse("must be a string, not \(kindOfContent)")
    return nil
  }

  func integer(_ range: ClosedRange<Int>) -> Int? {
    guard case .integer(let number) = value.content else {
      refuse("must be a whole number, not \(kindOfContent)")
      return nil
    }
    if range.contains(number) { return number }
    refuse("must be in \(range.lowerBound)...\(range.upperBound)")
    return nil
  }

  func list(atMost limit: Int) -> [ManifestPlace] {
    guard case .list(let values) = value.content else {
      refuse("must be a list, not \(kindOfContent)")
      return []
    }
    if values.count > limit { refuse("has \(values.count) items; at most \(limit) are possible") }
    return values.prefix(limit).enumerated().map { index, value in
      ManifestPlace(value: value, path: "\(path)[\(index)]", findings: findings)
    }
  }

  func map() -> ManifestMap? {
    guard case .map(let entries) = value.content else {
      refuse("must be a map, not \(kindOfContent)")
      return nil
    }
    return ManifestMap(self, entries)
  }

  /// One of the words given, as the Gateway API spells them.
  func word(_ words: [String]) -> String? {
    guard let text = string() else { return nil }
    if words.contains(text) { return text }
    refuse("“\(text)” is not supported; possible: \(words.joined(separator: ", "))")
    return nil
  }
}

/// A map of which every key must be asked for: what nobody asked for is refused by `end`.
final class ManifestMap {
  let place: ManifestPlace
  private let entries: [(key: String, value: ManifestValue)]
  private var known: Set<String> = []

  init(_ place: ManifestPlace, _ entries: [(key: String, value: ManifestValue)]) {
    self.place = place
    self.entries = entries
    var seen: Set<String> = []
    for entry in entries where !seen.insert(entry.key).inserted {
      place.findings.add("is there twice", path(entry.key), entry.value)
    }
  }

  private func path(_ key: String) -> String { place.path.isEmpty ? key : "\(place.path).\(key)" }

  /// The value of a key; nil when it is not there, or null.
  subscript(key: String) -> ManifestPlace? {
    known.insert(key)
    guard let entry = entries.first(where: { $0.key == key }) else { return nil }
    if case .null = entry.value.content { return nil }
    return ManifestPlace(value: entry.value, path: path(key), findings: place.findings)
  }

  /// Like the subscript, and a finding when it is not there.
  func required(_ key: String) -> ManifestPlace? {
    if let found = self[key] { return found }
    place.findings.add("is missing", path(key), place.value)
    return nil
  }

  /// Refuses keys that this version knows of and does not do.
  func unsupported(_ keys: String...) {
    for key in keys { self[key]?.refuse("is not supported") }
  }

  /// Refuses whatever was not asked for.
  func end() {
    for entry in entries where !known.contains(entry.key) {
      place.findings.add("is not known", path(entry.key), entry.value)
    }
  }
}
