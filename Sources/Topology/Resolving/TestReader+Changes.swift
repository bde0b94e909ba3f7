import NetTypes

/// What the steps of one test have made of the lab so far, so that each CHANGE is checked over what is there then.
struct ChangeHistory {
  /// The lab's tree in each version; nil: not known any more.
  private var versions: [Tree]?
  private var rolledBack = false

  init(lab: Tree) { versions = [lab.without("tests")] }

  var current: Tree? { versions?.last }

  mutating func apply(_ lab: Tree) { versions?.append(lab) }

  /// Versions that were made before the test, or by a second rollback, are not followed.
  mutating func rollBack(to version: Int?) {
    guard let known = versions, known.count > 1, version == nil, !rolledBack else {
      versions = nil
      return
    }
    rolledBack = true
    versions?.append(known[known.count - 2])
  }
}

extension TestReader {
  /// Labs above this are not resolved again for every step.
  private static let checkedNodes = 2000

  func plan(_ tree: Tree, _ expect: Tree?, _ history: inout ChangeHistory) -> TestAction? {
    guard let (step, change) = changeStep(tree, expect) else { return nil }
    _ = change.flatMap { laid($0, over: history.current) }
    return .plan(step)
  }

  func apply(_ tree: Tree, _ expect: Tree?, _ history: inout ChangeHistory) -> TestAction? {
    guard case (var step, let change)? = changeStep(tree, expect) else { return nil }
    step.confirmWithinMilliseconds = milliseconds(tree, "confirm-within", 1...86_400_000)
    step.refusal = expect?.text("refused")
    step.applied = expect == nil ? true : expect?.bool("applied")
    if step.refusal != nil, step.applied == true, let expect {
      reporter.error(expect.place(of: "applied"), "applied: `true` beside `refused`; expected one of them")
    }
    if step.refusal != nil { step.applied = step.applied ?? false }
    // One that is to be refused may be as wrong as it likes.
    if step.applied != false, let change, let lab = laid(change, over: history.current) { history.apply(lab) }
    return .apply(step)
  }

  func rollback(_ tree: Tree, _ history: inout ChangeHistory) -> TestAction? {
    let version = (tree.text ?? tree.text("to")).flatMap { Int($0) }
    history.rollBack(to: version)
    return .rollback(RollbackStep(version: version))
  }

  /// The step and its CHANGE; nil: there is none, and that was reported.
  private func changeStep(_ tree: Tree, _ expect: Tree?) -> (ChangeStep, WrittenChange?)? {
    guard let change = written(tree) else { return nil }
    var step = ChangeStep(file: change.file, text: change.text)
    step.nodes = expect?["nodes"].map { list in
      list.list.compactMap { item in item.text.flatMap { lab.lookUp($0, at: item.place) }.map { lab.nodes[$0].name } }
    }
    return (step, change)
  }

  private struct WrittenChange {
    var file: String
    var text: String
    /// Of one that is written in the step: checked already, with its own places.
    var tree: Tree?
  }

  private func written(_ tree: Tree) -> WrittenChange? {
    let path = tree.isMapping ? tree["change"] : tree
    guard let path else {
      let entries = tree.entries.filter { ChangeKeys.file.key($0.key) != nil }
      guard !entries.isEmpty else { return nil }
      let change = Tree(place: tree.place, content: .mapping(entries))
      return WrittenChange(file: lab.file, text: change.json.rendered() + "\n", tree: change)
    }
    if let other = tree.entries.first(where: { ChangeKeys.file.key($0.key) != nil }) {
      reporter.error(other.keyPlace, "`\(other.key)` beside `change`, which names a file; expected one of them")
    }
    guard let text = path.text, !text.isEmpty else { return nil }
    let absolute = FilePath.absolute(FilePath.join(lab.baseDirectory, text))
    guard let source = SourceFile.read(path: absolute, at: path.place, reporter) else { return nil }
    return WrittenChange(file: FilePath.join(FilePath.directory(of: lab.file), text), text: source.text)
  }

  /// The lab with a CHANGE laid over it; nil: what it would be is not known. What is wrong with it is reported.
  private func laid(_ change: WrittenChange, over base: Tree?) -> Tree? {
    // Its own reporter: what is wrong with the lab itself has been said.
    let scratch = Reporter()
    var tree = change.tree
    if tree == nil, let source = SourceFile(name: change.file, bytes: Array(change.text.utf8), scratch) {
      tree = TopologyFile.readChange(source, scratch)
    }
    var merged: Tree?
    if let tree, let base {
      merged = ChangeOverlay.lay(tree, over: base, scratch)
      if let merged, !reporter.failed, lab.nodes.count <= Self.checkedNodes {
        _ = LabResolver(tree: merged, file: lab.file, baseDirectory: lab.baseDirectory, reporter: scratch).resolve()
      }
    }
    for diagnostic in scratch.diagnostics where diagnostic.severity == .error {
      reporter.error(diagnostic.place, diagnostic.message)
    }
    return scratch.failed ? nil : merged
  }
}
