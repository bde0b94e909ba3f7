/// The lab file: text → `ResolvedLab`.
///
///   bytes ─ SourceFile ─ DocumentReader ─► Tree ─ TestExpansion ─ ShapeChecker (tables of keys) ─ LabResolver ─► ResolvedLab
///                              CHANGEs ─► Tree ─────────────────── ShapeChecker ─ ChangeOverlay ──┘
public enum TopologyFile {
  /// Reads and resolves a topology file, or a tests file (`{topology: FILE, tests: [...]}`) with the topology that it
  /// names. Never throws and never stops at the first mistake: all diagnostics come together, sorted by place.
  public static func load(path: String) -> Parsed<ResolvedLab> {
    let reporter = Reporter()
    guard let source = SourceFile.read(path: path, reporter) else { return reporter.result(nil) }
    return read(source, baseDirectory: FilePath.absolute(FilePath.directory(of: path)), reporter)
  }

  /// The same for text in hand. `file` is what diagnostics call it; relative paths start at `baseDirectory`.
  public static func parse(text: String, file: String, baseDirectory: String) -> Parsed<ResolvedLab> {
    let reporter = Reporter()
    guard let source = SourceFile(name: file, bytes: Array(text.utf8), reporter) else { return reporter.result(nil) }
    return read(source, baseDirectory: baseDirectory, reporter)
  }

  /// A topology file and CHANGEs laid over it in order. Diagnostics carry the file and place of the layer that they are
  /// about. The file's `tests:` are left out where there are CHANGEs: they are about the lab as it was written.
  public static func parse(_ layers: [FileLayer], baseDirectory: String) -> Parsed<ResolvedLab> {
    read(layers, baseDirectory: baseDirectory).lab
  }

  /// The same, and which of the layers are needed for it (indexes, rising): the topology file, and the CHANGEs of which
  /// something is left. All of them where there are mistakes.
  public static func read(
    _ layers: [FileLayer], baseDirectory: String
  ) -> (lab: Parsed<ResolvedLab>, needed: [Int]) {
    let reporter = Reporter()
    let all = Array(layers.indices)
    guard let first = layers.first else {
      reporter.error(Place(file: "topology", line: 1, column: 1), "no topology file; expected one below the CHANGEs")
      return (reporter.result(nil), all)
    }
    guard let source = SourceFile(name: first.file, bytes: Array(first.text.utf8), reporter),
      let document = document(source, baseDirectory: baseDirectory, reporter)
    else { return (reporter.result(nil), all) }
    var merged = document
    merged.manifests = first.manifests
    guard layers.count > 1 else { return (resolve(merged, reporter), all) }
    merged.tests = []
    var changes: [Tree] = []
    for layer in layers.dropFirst() {
      guard let source = SourceFile(name: layer.file, bytes: Array(layer.text.utf8), reporter),
        let change = readChange(source, reporter)
      else { return (reporter.result(nil), all) }
      changes.append(change)
      if change["mesh"]?["routes"] != nil { merged.manifests = layer.manifests }
      merged.tree = ChangeOverlay.lay(change, over: merged.tree, reporter)
    }
    let lab = resolve(merged, reporter)
    guard lab.value != nil else { return (lab, all) }
    return (lab, [0] + LayerUse(over: document.tree, changes).needed.map { $0 + 1 })
  }

  /// nil after reporting why there is nothing that could be laid over a topology.
  static func readChange(_ source: SourceFile, _ reporter: Reporter) -> Tree? {
    guard
      let change = DocumentReader.read(source, expecting: "a CHANGE with `topology`, `policies` or `mesh`", reporter)
    else {
      return nil
    }
    ShapeChecker(reporter: reporter).check(change, .record(ChangeKeys.file), "the file")
    return change.isMapping ? change : nil
  }

  /// A lab's tree with what diagnostics call its file and where relative paths start.
  private struct Document {
    /// Its `tests:` are empty: they stand apart, written out.
    var tree: Tree
    var tests: [WrittenTest]
    var file: String
    var baseDirectory: String
    var manifests: [String: String] = [:]
  }

  private static func read(_ source: SourceFile, baseDirectory: String, _ reporter: Reporter) -> Parsed<ResolvedLab> {
    guard let document = document(source, baseDirectory: baseDirectory, reporter) else { return reporter.result(nil) }
    return resolve(document, reporter)
  }

  private static func resolve(_ document: Document, _ reporter: Reporter) -> Parsed<ResolvedLab> {
    reporter.result(
      LabResolver(
        tree: document.tree, tests: document.tests, manifests: document.manifests, file: document.file,
        baseDirectory: document.baseDirectory, reporter: reporter
      ).resolve())
  }

  private static func document(_ source: SourceFile, baseDirectory: String, _ reporter: Reporter) -> Document? {
    guard let tree = DocumentReader.read(source, reporter) else { return nil }
    if let topology = tree["topology"], topology.text != nil, !topology.isAbsent {
      return testsDocument(tree, source, baseDirectory, reporter)
    }
    let (rest, tests) = check(tree, FileKeys.lab, reporter)
    return Document(tree: rest, tests: tests, file: source.name, baseDirectory: baseDirectory)
  }

  /// The file without its tests, and these.
  private static func check(_ tree: Tree, _ record: Record, _ reporter: Reporter) -> (rest: Tree, tests: [WrittenTest])
  {
    let (rest, tests) = TestExpansion.expand(tree, reporter)
    let checker = ShapeChecker(reporter: reporter)
    checker.check(rest, .record(record), "the file")
    for test in tests {
      reporter.combination = test.combination
      checker.check(test.tree, .record(TestKeys.test), "tests")
    }
    reporter.combination = nil
    return (rest, tests)
  }

  /// The lab of another file with the tests of this one; that file's own tests are not run.
  private static func testsDocument(
    _ tree: Tree, _ source: SourceFile, _ baseDirectory: String, _ reporter: Reporter
  ) -> Document? {
    let (_, tests) = check(tree, FileKeys.tests, reporter)
    guard let path = tree["topology"], let text = path.text else { return nil }
    let named = FilePath.join(FilePath.directory(of: source.name), text)
    let absolute = FilePath.absolute(FilePath.join(baseDirectory, text))
    guard let labSource = SourceFile.read(path: absolute, at: path.place, reporter),
      let renamed = SourceFile(name: named, bytes: Array(labSource.text.utf8), reporter),
      let lab = DocumentReader.read(renamed, reporter)
    else { return nil }
    if let other = lab["topology"], other.text != nil, !other.isAbsent {
      reporter.error(path.place, "`\(text)` is a tests file itself; expected a topology file")
      return nil
    }
    let (rest, _) = check(lab, FileKeys.lab, reporter)
    return Document(tree: rest, tests: tests, file: named, baseDirectory: FilePath.directory(of: absolute))
  }
}

/// The text of a file and what diagnostics call it: a topology file, or a CHANGE above one.
public struct FileLayer: Hashable, Sendable {
  public var file: String
  public var text: String
  /// The files that its `mesh.routes` names, by path as written, as they stood when the layer was made; those that are
  /// not here are read.
  public var manifests: [String: String]

  public init(file: String, text: String, manifests: [String: String] = [:]) {
    self.file = file
    self.text = text
    self.manifests = manifests
  }
}
