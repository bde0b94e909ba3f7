internal import Mesh

/// YAML files of somebody else's making (Gateway API manifests), which may hold several documents.
enum ManifestFile {
  /// The documents of a text; those that are none have been reported. `name`: what diagnostics call it.
  static func documents(of text: String, name: String, _ reporter: Reporter) -> [Tree] {
    documents(text).compactMap { text in
      guard let source = SourceFile(name: name, bytes: Array(text.utf8), reporter) else { return nil }
      return DocumentReader.read(
        source, expecting: "a manifest with `kind: HTTPRoute` or `GRPCRoute`", reporter)
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

extension ManifestValue {
  init(_ tree: Tree) {
    let content: Content =
      switch tree.content {
      case .scalar(let text, let plain): plain ? Self.meaning(text) : .string(text)
      case .list(let items): .list(items.map { ManifestValue($0) })
      case .mapping(let entries): .map(entries.map { ($0.key, ManifestValue($0.value)) })
      }
    self.init(content, line: tree.place.line, column: tree.place.column)
  }

  /// YAML's core schema (1.2.2, section 10.3.2) for a scalar without quotes.
  private static func meaning(_ text: String) -> Content {
    switch text {
    case "", "~", "null", "Null", "NULL": .null
    case "true", "True", "TRUE": .boolean(true)
    case "false", "False", "FALSE": .boolean(false)
    default:
      if let number = Int(text) {
        .integer(number)
      } else if text.contains(where: \.isNumber), let number = Double(text), number.isFinite {
        .number(number)
      } else {
        .string(text)
      }
    }
  }
}
