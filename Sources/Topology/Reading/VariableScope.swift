/// What `${NAME}` stands for at one place of a file.
struct VariableScope {
  /// Bytes of one text when its names are replaced: variables may hold each other, and grow with every step.
  static let textLimit = 65_536

  private let reporter: Reporter
  /// nil: known, but its own value is wrong, which has been said.
  private var values: [String: String?] = [:]

  init(reporter: Reporter) { self.reporter = reporter }

  mutating func define(_ name: String, _ value: String?) { values[name] = .some(value) }

  /// `variables:`, each with what is known before it.
  mutating func add(_ variables: Tree?) {
    for entry in variables?.entries ?? [] {
      define(entry.key, entry.value.isAbsent ? nil : replaced(entry.value))
    }
  }

  func replacing(in tree: Tree) -> Tree {
    switch tree.content {
    case .scalar(let text, let plain):
      guard text.utf8.contains(UInt8(ascii: "$")), let replaced = replaced(tree) else { return tree }
      // A value that is empty or a null is text: somebody wrote it.
      return Tree(place: tree.place, content: .scalar(replaced, plain: plain && replaced == text))
    case .list(let items):
      return Tree(place: tree.place, content: .list(items.map(replacing)))
    case .mapping(let entries):
      return Tree(place: tree.place, content: .mapping(replacing(entries)))
    }
  }

  private func replacing(_ entries: [Tree.Entry]) -> [Tree.Entry] {
    var changed = false
    let result = entries.map { entry -> Tree.Entry in
      var entry = entry
      entry.value = replacing(in: entry.value)
      if entry.key.utf8.contains(UInt8(ascii: "$")), let key = replaced(entry.key, at: entry.keyPlace) {
        changed = changed || key != entry.key
        entry.key = key
      }
      return entry
    }
    guard changed else { return result }
    var lines: [String: Int] = [:]
    return result.filter { entry in
      if let line = lines[entry.key] {
        reporter.error(entry.keyPlace, "duplicate key `\(entry.key)`; it already stands in line \(line)")
        return false
      }
      lines[entry.key] = entry.keyPlace.line
      return true
    }
  }

  /// nil: there is no text, or a name in it has no value.
  func replaced(_ tree: Tree) -> String? { tree.text.flatMap { replaced($0, at: tree.place) } }

  private func replaced(_ text: String, at place: Place) -> String? {
    var result = ""
    var rest = text[...]
    var isWhole = true
    while let dollar = rest.firstIndex(of: "$") {
      result += rest[..<dollar]
      rest = rest[dollar...]
      if rest.hasPrefix("$$"), let reference = Self.reference(rest.dropFirst()) {
        result += reference.whole
        rest = rest[reference.whole.endIndex...]
      } else if let reference = Self.reference(rest) {
        rest = rest[reference.whole.endIndex...]
        if let value = value(reference.name, at: place) { result += value } else { isWhole = false }
        guard result.utf8.count <= Self.textLimit else {
          reporter.error(
            place, "more than \(Self.textLimit) bytes when its variables are replaced; expected a shorter text")
          reporter.settle(place)
          return nil
        }
      } else {
        result.append("$")
        rest = rest.dropFirst()
      }
    }
    return isWhole ? result + rest : nil
  }

  /// `${NAME}` at the start of a text.
  private static func reference(_ text: Substring) -> (whole: Substring, name: String)? {
    guard text.hasPrefix("${"), let close = text.firstIndex(of: "}") else { return nil }
    let name = String(text[..<close].dropFirst(2))
    return VariableKeys.name.check(name) == nil ? (text[...close], name) : nil
  }

  private func value(_ name: String, at place: Place) -> String? {
    if let value = values[name] {
      if value == nil { reporter.settle(place) }
      return value
    }
    let hint = reporter.suggestion(for: name, from: values.keys.sorted())
    reporter.error(
      place,
      "unknown variable `${\(name)}`"
        + (hint.isEmpty ? "; expected a name under `variables` or `matrix`, or `$${\(name)}` for a shell's own" : hint))
    reporter.settle(place)
    return nil
  }
}
