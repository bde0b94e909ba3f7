/// How one scalar may be written: checked by the parser, described in messages, and said again in JSON Schema.
struct ScalarForm: Sendable {
  /// For "expected …".
  var expected: String
  var schema: SchemaFragment
  /// nil: fine. `.plain` says only what was expected; `.because` says what is wrong with this one.
  var check: @Sendable (String) -> Problem?

  enum Problem: Equatable {
    case plain
    case because(String)
  }

  init(_ expected: String, schema: SchemaFragment, check: @escaping @Sendable (String) -> Problem?) {
    self.expected = expected
    self.schema = schema
    self.check = check
  }

  /// Whatever `parse` takes.
  static func parsed<Value>(
    _ expected: String, schema: SchemaFragment, _ parse: @escaping @Sendable (String) -> Value?
  ) -> ScalarForm {
    ScalarForm(expected, schema: schema) { parse($0) == nil ? .plain : nil }
  }

  /// One of some words.
  static func word(_ words: [String]) -> ScalarForm {
    let list = words.map { "`\($0)`" }.joined(separator: ", ")
    return ScalarForm(words.count == 1 ? list : "one of \(list)", schema: .words(words)) { text in
      if words.contains(text) { return nil }
      guard let word = nearestWord(text, words) else { return .plain }
      return .because("did you mean `\(word)`?")
    }
  }

  /// A decimal integer.
  static func integer(_ range: ClosedRange<Int>) -> ScalarForm {
    ScalarForm("a whole number from \(range.lowerBound) to \(range.upperBound)", schema: .integer(range)) { text in
      guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }), let value = Int(text) else {
        return .plain
      }
      return range.contains(value) ? nil : .plain
    }
  }

  /// `true` or `false`: YAML 1.1's other spellings are names in this file.
  static let bool = ScalarForm("`true` or `false`", schema: .bool) { text in
    switch text {
    case "true", "false": nil
    case "yes", "on", "True", "TRUE", "Yes", "On": .because("write `true`")
    case "no", "off", "False", "FALSE", "No", "Off": .because("write `false`")
    default: .plain
    }
  }

  /// Any text that is not empty.
  static func text(_ expected: String) -> ScalarForm {
    ScalarForm(expected, schema: .text()) { $0.isEmpty ? .plain : nil }
  }

  func or(_ other: ScalarForm) -> ScalarForm {
    ScalarForm("\(expected) or \(other.expected)", schema: .anyOf([schema, other.schema])) { [check] text in
      guard let first = check(text) else { return nil }
      guard let second = other.check(text) else { return nil }
      return first == .plain ? second : first
    }
  }
}

/// The only word that is at most two edits away and shares the first letter, for closed lists of words.
private func nearestWord(_ text: String, _ words: [String]) -> String? {
  let near = words.filter { word in
    word.first == text.first && abs(word.count - text.count) <= 2
      && zip(word, text).reduce(0) { $0 + ($1.0 == $1.1 ? 0 : 1) } <= 2
  }
  return near.count == 1 ? near[0] : nil
}
