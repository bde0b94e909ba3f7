internal import Topology

/// A YAML value as it was written: every scalar is its text, every value knows its place.
struct Value {
  enum Content {
    /// `plain`: written without quotes.
    case scalar(String, plain: Bool)
    case list([Value])
    case mapping([Entry])
  }

  struct Entry {
    var key: String
    var place: Place
    var value: Value
  }

  var place: Place
  var content: Content

  /// `key:` with nothing, or `null`.
  var isAbsent: Bool {
    if case .scalar(let text, plain: true) = content { return text.isEmpty || text == "~" || text == "null" }
    return false
  }

  /// nil for what is no scalar, or absent.
  var text: String? {
    if case .scalar(let text, _) = content, !isAbsent { text } else { nil }
  }

  var list: [Value]? {
    if case .list(let items) = content { items } else { nil }
  }

  var entries: [Entry]? {
    if case .mapping(let entries) = content { entries } else { nil }
  }

  subscript(key: String) -> Value? { entries?.first { $0.key == key }?.value }

  /// For messages.
  var kind: String {
    if isAbsent { return "nothing" }
    return switch content {
    case .scalar(let text, _): "`\(text.prefix(40))`"
    case .list: "a list"
    case .mapping: "a mapping"
    }
  }
}

/// Typed reading; what has another type is an error and reads as absent.
extension ImportLog {
  func mapping(_ value: Value?, _ what: String) -> [Value.Entry] {
    guard let value, !value.isAbsent else { return [] }
    if let entries = value.entries { return entries }
    error(value.place, "\(what) is \(value.kind); expected a mapping")
    return []
  }

  func list(_ value: Value?, _ what: String) -> [Value] {
    guard let value, !value.isAbsent else { return [] }
    if let items = value.list { return items }
    error(value.place, "\(what) is \(value.kind); expected a list")
    return []
  }

  func text(_ value: Value?, _ what: String) -> String? {
    guard let value, !value.isAbsent else { return nil }
    if let text = value.text { return text }
    error(value.place, "\(what) is \(value.kind); expected a text")
    return nil
  }

  /// Scalars of a list, with their places.
  func texts(_ value: Value?, _ what: String) -> [PlacedText] {
    list(value, what).compactMap { item in
      text(item, "an item of \(what)").map { PlacedText(text: $0, place: item.place) }
    }
  }
}

struct PlacedText {
  var text: String
  var place: Place
}
