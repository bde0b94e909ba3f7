/// YAML files of somebody else's making (Gateway API manifests), which may hold several documents.
enum ManifestFile {
  /// Empty after reporting why. `name`: as the user wrote it.
  static func read(path: String, name: String, _ reporter: Reporter) -> [Manifest] {
    guard let file = SourceFile.read(path: path, reporter) else { return [] }
    return documents(file.text).compactMap { text in
      guard let source = SourceFile(name: name, bytes: Array(text.utf8), reporter),
        let tree = DocumentReader.read(source, expecting: "a manifest with `kind: HTTPRoute` or `GRPCRoute`", reporter)
      else { return nil }
      return Manifest(root: Manifest.Value(tree))
    }
  }

  /// The documents of a stream, each with as many empty lines before it as stand before it in the file, so that places
  /// stay what they are. A line that begins with `---` or `...` in the first column is a mark wherever it stands.
  private static func documents(_ text: String) -> [String] {
    var documents: [String] = []
    var current = ""
    var hasContent = false
    var lines = 0
    func isMark(_ line: Substring, _ mark: String) -> Bool {
      line.hasPrefix(mark) && (line.utf8.count == 3 || line.dropFirst(3).first?.isWhitespace == true)
    }
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if isMark(line, "---") || isMark(line, "...") {
        if hasContent { documents.append(current) }
        current = String(repeating: "\n", count: lines + 1)
        hasContent = false
      } else {
        let trimmed = line.drop { $0 == " " || $0 == "\t" || $0 == "\r" }
        if !trimmed.isEmpty, trimmed.first != "#" { hasContent = true }
        current += line + "\n"
      }
      lines += 1
    }
    if hasContent { documents.append(current) }
    return documents
  }
}

extension Manifest.Value {
  init(_ tree: Tree) {
    self =
      switch tree.content {
      case .scalar(let text, let plain): .scalar(text, plain: plain, tree.place)
      case .list(let items): .list(items.map { Manifest.Value($0) }, tree.place)
      case .mapping(let entries):
        .mapping(
          entries.map { Manifest.Entry(key: $0.key, place: $0.keyPlace, value: Manifest.Value($0.value)) }, tree.place)
      }
  }
}
