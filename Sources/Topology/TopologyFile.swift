/// The lab file: text → `ResolvedLab`.
///
///   bytes ─ SourceFile ─ DocumentReader ─► Tree ─ ShapeChecker (tables of keys) ─ LabResolver ─► ResolvedLab
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

  private static func read(_ source: SourceFile, baseDirectory: String, _ reporter: Reporter) -> Parsed<ResolvedLab> {
    guard let tree = DocumentReader.read(source, reporter) else { return reporter.result(nil) }
    if let topology = tree["topology"], topology.text != nil, !topology.isAbsent {
      return readTests(tree, source, baseDirectory, reporter)
    }
    ShapeChecker(reporter: reporter).check(tree, .record(FileKeys.lab), "the file")
    return reporter.result(
      LabResolver(tree: tree, file: source.name, baseDirectory: baseDirectory, reporter: reporter).resolve())
  }

  /// The lab of another file with the tests of this one; that file's own tests are not run.
  private static func readTests(
    _ tree: Tree, _ source: SourceFile, _ baseDirectory: String, _ reporter: Reporter
  ) -> Parsed<ResolvedLab> {
    ShapeChecker(reporter: reporter).check(tree, .record(FileKeys.tests), "the file")
    guard let path = tree["topology"], let text = path.text else { return reporter.result(nil) }
    let named = FilePath.join(FilePath.directory(of: source.name), text)
    let absolute = FilePath.absolute(FilePath.join(baseDirectory, text))
    guard let labSource = SourceFile.read(path: absolute, at: path.place, reporter),
      let renamed = SourceFile(name: named, bytes: Array(labSource.text.utf8), reporter),
      let lab = DocumentReader.read(renamed, reporter)
    else { return reporter.result(nil) }
    if let other = lab["topology"], other.text != nil, !other.isAbsent {
      reporter.error(path.place, "`\(text)` is a tests file itself; expected a topology file")
      return reporter.result(nil)
    }
    ShapeChecker(reporter: reporter).check(lab, .record(FileKeys.lab), "the file")
    let merged = Tree(
      place: lab.place,
      content: .mapping(lab.entries.filter { $0.key != "tests" } + tree.entries.filter { $0.key == "tests" }))
    return reporter.result(
      LabResolver(
        tree: merged, file: named, baseDirectory: FilePath.directory(of: absolute), reporter: reporter
      ).resolve())
  }
}
