/// The file of `netloom pipeline` (contract section 8): text → `Pipeline`.
public enum PipelineFile {
  /// As `TopologyFile.load`.
  public static func load(path: String) -> Parsed<Pipeline> {
    let reporter = Reporter()
    return read(SourceFile.read(path: path, reporter), reporter)
  }

  public static func parse(text: String, file: String) -> Parsed<Pipeline> {
    let reporter = Reporter()
    return read(SourceFile(name: file, bytes: Array(text.utf8), reporter), reporter)
  }

  private static func read(_ source: SourceFile?, _ reporter: Reporter) -> Parsed<Pipeline> {
    guard let source, let tree = DocumentReader.read(source, expecting: "a mapping with `name` and `source`", reporter)
    else { return reporter.result(nil) }
    ShapeChecker(reporter: reporter).check(tree, .record(PipelineKeys.file), "the file")
    return reporter.result(PipelineReader(tree: tree, file: source.name, reporter: reporter).read())
  }
}
