/// The file of `netloom speaker` (contract section 3).
public enum SpeakerFile {
  /// As `TopologyFile.load`.
  public static func load(path: String) -> Parsed<ResolvedSpeaker> {
    let reporter = Reporter()
    return read(SourceFile.read(path: path, reporter), reporter)
  }

  public static func parse(text: String, file: String) -> Parsed<ResolvedSpeaker> {
    let reporter = Reporter()
    return read(SourceFile(name: file, bytes: Array(text.utf8), reporter), reporter)
  }

  private static func read(_ source: SourceFile?, _ reporter: Reporter) -> Parsed<ResolvedSpeaker> {
    guard let source,
      let tree = DocumentReader.read(source, expecting: "a mapping with `asn` and `router-id`", reporter)
    else { return reporter.result(nil) }
    ShapeChecker(reporter: reporter).check(tree, .record(FileKeys.speaker), "the file")
    return reporter.result(SpeakerResolver(tree: tree, file: source.name, reporter: reporter).resolve())
  }
}
