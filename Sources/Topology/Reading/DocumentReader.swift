import Yams

/// Text → `Tree`, by Yams.
///
/// Yams composes nodes with marks but stops at a duplicate key and shares aliased nodes by reference; three things
/// are therefore done here. A duplicate key is reported at its second place, masked in the text and the text read
/// again, so that the rest of the file is still checked. Aliases are counted while they are expanded, so that a few
/// lines cannot become a billion values. Nesting is bounded before and after composition.
struct DocumentReader {
  static let depthLimit = 64
  /// Values after aliases are expanded, for a file that uses aliases.
  static let expansionLimit = 500_000
  static let anchorLimit = 256
  static let duplicateLimit = 50

  /// First scalar of a masked key; from a private-use plane, so nobody's key.
  private static let mask: Unicode.Scalar = "\u{F0000}"

  private let file: SourceFile
  private let reporter: Reporter
  private let expected: String

  /// nil after reporting why there is no document. `expected` is what an empty file lacks.
  static func read(
    _ file: SourceFile, expecting expected: String = "a mapping with `name` and `topology`", _ reporter: Reporter
  ) -> Tree? {
    DocumentReader(file: file, expected: expected, reporter: reporter).document()
  }

  private init(file: SourceFile, expected: String, reporter: Reporter) {
    self.file = file
    self.expected = expected
    self.reporter = reporter
  }

  private func place(_ mark: Mark?) -> Place {
    Place(file: file.name, line: mark?.line ?? 1, column: mark?.column ?? 1)
  }

  private func document() -> Tree? {
    guard LexicalLimits.hold(file, reporter) else { return nil }
    var text = file.text
    for round in 0...Self.duplicateLimit {
      do {
        // The basic resolver never looks at what a scalar resembles.
        guard let root = try Parser(yaml: text, resolver: .basic, encoding: .utf8).singleRoot() else {
          reporter.error(place(nil), "the file is empty; expected \(expected)")
          return nil
        }
        var converter = TreeConverter(file: file, masked: round > 0, reporter: reporter)
        return converter.convert(root)
      } catch YamlError.duplicatedKeysInMapping(_, let context) where round < Self.duplicateLimit {
        guard let masked = maskDuplicate(of: context.mark, in: text) else { return nil }
        text = masked
      } catch let error as YamlError {
        report(error)
        return nil
      } catch {
        reporter.error(place(nil), "YAML: \(error)")
        return nil
      }
    }
    return nil
  }

  /// Reports the second place of the key that first stands at `mark`, and returns the text with that key replaced
  /// by a name of the same width that no one else has. nil: not found, the first place was reported.
  private func maskDuplicate(of mark: Mark, in text: String) -> String? {
    let scalars = Array(text.unicodeScalars)
    guard let duplicate = DuplicateKey(first: mark, in: scalars) else {
      reporter.error(place(mark), "this key stands twice in its mapping; keep one")
      return nil
    }
    reporter.error(
      Place(file: file.name, line: duplicate.line, column: duplicate.column),
      "duplicate key `\(duplicate.key)`; it already stands in line \(mark.line)")
    var result = String.UnicodeScalarView()
    result.append(contentsOf: scalars[..<duplicate.range.lowerBound])
    for offset in 0..<duplicate.range.count {
      // Private-use scalars that differ from place to place.
      let digit = UInt32((duplicate.range.lowerBound &+ offset &* 4099) % 0xFFF0)
      result.append(Unicode.Scalar(Self.mask.value + digit) ?? Self.mask)
    }
    result.append(contentsOf: scalars[duplicate.range.upperBound...])
    return String(result)
  }

  static func isMasked(_ key: String) -> Bool { key.unicodeScalars.first.map { $0.value >= mask.value } ?? false }

  private func report(_ error: YamlError) {
    switch error {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      reporter.error(place(mark), Self.message(context?.text, problem, lineAt: mark, in: file.text))
    case .reader(let problem, _, _, _):
      reporter.error(place(nil), "YAML: \(problem)")
    case .memory:
      reporter.error(place(nil), "YAML: nested too deeply; expected at most \(Self.depthLimit) levels")
    case .duplicatedKeysInMapping(_, let context):
      reporter.error(place(context.mark), "duplicate keys; more than \(Self.duplicateLimit) in this file")
    default:
      reporter.error(place(nil), "YAML: \(error)")
    }
  }

  private static func message(_ context: String?, _ problem: String, lineAt mark: Mark, in text: String) -> String {
    if problem.contains("nesting level") { return "nested too deeply; expected at most \(depthLimit) levels" }
    if problem.contains("another document") { return "a second YAML document; expected one document per file" }
    if problem.contains("undefined alias") { return "undefined alias; expected an anchor (`&name`) before it" }
    let lines = text.split(separator: "\n", maxSplits: mark.line, omittingEmptySubsequences: false)
    let line = mark.line <= lines.count ? lines[mark.line - 1] : ""
    let tab = line.drop { $0 == " " }.first == "\t" ? "; indent with spaces, not tabs" : ""
    let variable = line.contains("${") ? "; inside braces or brackets a variable stands in quotes, as \"${name}\"" : ""
    return "YAML syntax: \(problem)" + (context.map { " (\($0))" } ?? "") + tab + variable
  }
}
