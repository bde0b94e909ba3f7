/// Compares a tree with its shape and reports every difference. What passes can be read without further checks of
/// form; readers take a scalar that does not parse as absent, since it has been reported here.
struct ShapeChecker {
  let reporter: Reporter

  /// `owner` is where the complaint about something missing goes: the key that `tree` is the value of.
  func check(_ tree: Tree, _ shape: Shape, _ path: String, owner: Place? = nil) {
    switch shape {
    case .scalar(let form): checkScalar(tree, form, path)
    case .list(let item, let count, let example): checkList(tree, item, count, example, path)
    case .names(let form, let value, let example):
      guard isMapping(tree, "names, such as \(example)", path) else { return }
      for entry in tree.entries {
        checkName(entry, form)
        check(entry.value, value, entry.key, owner: entry.keyPlace)
      }
    case .record(let record): check(tree, record, path, owner ?? tree.place)
    case .either(let shapes): checkEither(tree, shapes, path, owner)
    case .withVariables(let shape): check(tree, shape, path, owner: owner)
    case .removable(let shape): if !tree.isNull { check(tree, shape, path, owner: owner) }
    }
  }

  private func isMapping(_ tree: Tree, _ expected: String, _ path: String) -> Bool {
    if tree.isMapping { return true }
    if !tree.isAbsent {
      reporter.error(tree.place, "\(quoted(path)) is \(tree.kind); expected a mapping of \(expected)")
    }
    return false
  }

  private func checkName(_ entry: Tree.Entry, _ form: ScalarForm) {
    report(form.check(entry.key), entry.key, form, "", entry.keyPlace)
  }

  private func checkScalar(_ tree: Tree, _ form: ScalarForm, _ path: String) {
    guard let text = tree.text else {
      reporter.error(tree.place, "\(quoted(path)) is \(tree.kind); expected \(form.expected)")
      return
    }
    if tree.isAbsent {
      reporter.error(tree.place, "\(quoted(path)) has no value; expected \(form.expected)")
      return
    }
    report(form.check(text), text, form, "\(path): ", tree.place)
  }

  private func report(
    _ problem: ScalarForm.Problem?, _ text: String, _ form: ScalarForm, _ prefix: String, _ place: Place
  ) {
    let shown = text.count > 60 ? text.prefix(57) + "..." : text[...]
    switch problem {
    case nil: break
    case .plain: reporter.error(place, "\(prefix)`\(shown)`; expected \(form.expected)")
    case .because(let reason):
      // A question ends its sentence: what was expected is the next one.
      let expected = reason.hasSuffix("?") ? " Expected \(form.expected)" : "; expected \(form.expected)"
      reporter.error(place, "\(prefix)`\(shown)`: \(reason)\(expected)")
    }
  }

  /// A key as it is written; `the file` is no key.
  private func quoted(_ path: String) -> String { path == "the file" ? path : "`\(path)`" }

  private func checkList(
    _ tree: Tree, _ item: Shape, _ count: ClosedRange<Int>?, _ example: String, _ path: String
  ) {
    guard case .list(let items) = tree.content else {
      if !tree.isAbsent || count != nil {
        reporter.error(tree.place, "\(quoted(path)) is \(tree.kind); expected a list, such as \(example)")
      }
      return
    }
    if let count, !count.contains(items.count) {
      let wanted =
        count.count == 1
        ? "\(count.lowerBound)"
        : items.count < count.lowerBound ? "at least \(count.lowerBound)" : "at most \(count.upperBound)"
      reporter.error(tree.place, "\(quoted(path)) has \(items.count) entries; expected \(wanted), such as \(example)")
    }
    for tree in items { check(tree, item, path) }
  }

  private func checkEither(_ tree: Tree, _ shapes: [Shape], _ path: String, _ owner: Place?) {
    let fitting = shapes.first { shape in
      switch (shape, tree.content) {
      case (.scalar, .scalar), (.list, .list), (.names, .mapping), (.record, .mapping): true
      default: false
      }
    }
    guard let chosen = fitting ?? shapes.last else { return }
    check(tree, chosen, path, owner: owner)
  }

  private func check(_ tree: Tree, _ record: Record, _ path: String, _ owner: Place) {
    if !tree.isMapping && !tree.isAbsent {
      let names = record.keys.filter { $0.status != .notYet }.prefix(4).map { "`\($0.name)`" }.joined(separator: ", ")
      reporter.error(tree.place, "\(quoted(path)) is \(tree.kind); expected a mapping with keys such as \(names)")
      return
    }
    var present: [String] = []
    for entry in tree.entries {
      guard let key = record.key(entry.key) else {
        reportUnknown(entry, record)
        continue
      }
      if key.status == .notYet {
        reporter.error(entry.keyPlace, "`\(key.name)` is not yet in this version (\(key.doc)); take it out")
        continue
      }
      present.append(key.name)
      check(entry.value, key.shape, key.name, owner: entry.keyPlace)
    }
    checkPresence(present, tree, record, owner)
  }

  private func reportUnknown(_ entry: Tree.Entry, _ record: Record) {
    let names = record.keys.filter { $0.status != .notYet }.map(\.name)
    let hint = reporter.suggestion(for: entry.key, from: names)
    let all = hint.isEmpty ? "; expected one of \(names.map { "`\($0)`" }.joined(separator: ", "))" : hint
    reporter.error(entry.keyPlace, "unknown key `\(entry.key)` in \(record.noun)\(all)")
  }

  private func checkPresence(_ present: [String], _ tree: Tree, _ record: Record, _ owner: Place) {
    for key in record.keys where key.status == .required && !present.contains(key.name) {
      reporter.error(owner, "\(record.noun) has no `\(key.name)`: \(key.doc)")
    }
    let list = { (names: [String]) in names.map { "`\($0)`" }.joined(separator: ", ") }
    // A key that was refused or misspelt has its own message already.
    let complained = tree.entries.count > present.count
    if !record.exactlyOne.isEmpty {
      let chosen = record.exactlyOne.filter(present.contains)
      if chosen.isEmpty && !complained {
        reporter.error(owner, "\(record.noun) without a word of its own; expected one of \(list(record.exactlyOne))")
      } else if chosen.count > 1 {
        reporter.error(owner, "\(record.noun) with \(list(chosen)) together; expected one of them")
      }
    }
    if !record.atLeastOne.isEmpty && !complained && !record.atLeastOne.contains(where: present.contains) {
      reporter.error(owner, "\(record.noun) is empty; expected at least one of \(list(record.atLeastOne))")
    }
  }
}
