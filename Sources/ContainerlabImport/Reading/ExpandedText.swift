/// The text of a file with `$VAR` and `${VAR…}` replaced, before YAML is looked at, as containerlab does it:
///
///     $VAR  ${VAR}               the value; what is not set stays as it is written
///     ${VAR:=text} ${VAR:-text}  the text where the variable is not set or empty
///     ${VAR=text}  ${VAR-text}   the text where it is not set
///     ${VAR:+text} ${VAR+text}   the text where it is set, otherwise nothing
///     $1 $$ $(…)                 no variables: `exec` lines have them for the shell
///
/// Places in the result are mapped back, so that messages are about the file and not about what became of it.
struct ExpandedText {
  private(set) var text: String
  /// Names of the variables that the environment decided, sorted.
  private(set) var variables: [String]
  /// Starts of stretches: what stands at `result` came from `source`; inside `replaced` stretches every scalar did.
  private var stretches: [Stretch] = []
  private var sourceLines: [Int]
  private var resultLines: [Int]

  private struct Stretch {
    var result: Int
    var source: Int
    var replaced: Bool
  }

  init(_ source: String, environment: [String: String]) {
    let scalars = Array(source.unicodeScalars)
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(scalars.count)
    var used: Set<String> = []
    var index = 0
    while index < scalars.count {
      guard scalars[index] == "$", let reference = VariableReference(at: index, in: scalars),
        let value = reference.value(in: environment)
      else {
        result.append(scalars[index])
        index += 1
        continue
      }
      if environment[reference.name] != nil { used.insert(reference.name) }
      stretches.append(Stretch(result: result.count, source: index, replaced: true))
      result.append(contentsOf: value.unicodeScalars)
      index = reference.end
      stretches.append(Stretch(result: result.count, source: index, replaced: false))
    }
    var view = String.UnicodeScalarView()
    view.append(contentsOf: result)
    text = String(view)
    variables = used.sorted()
    sourceLines = Self.lineStarts(scalars)
    resultLines = stretches.isEmpty ? sourceLines : Self.lineStarts(result)
  }

  /// Where in the file that stands which is at this line and column (from 1) of `text`.
  func source(line: Int, column: Int) -> (line: Int, column: Int) {
    guard !stretches.isEmpty, (1...resultLines.count).contains(line) else { return (line, column) }
    let offset = resultLines[line - 1] + column - 1
    var origin = offset
    let following = stretches.partitioningIndex { $0.result > offset }
    if following > 0 {
      let stretch = stretches[following - 1]
      origin = stretch.replaced ? stretch.source : stretch.source + (offset - stretch.result)
    }
    let after = sourceLines.partitioningIndex { $0 > origin }
    let index = max(0, after - 1)
    return (index + 1, origin - sourceLines[index] + 1)
  }

  private static func lineStarts(_ scalars: [Unicode.Scalar]) -> [Int] {
    [0] + scalars.indices.lazy.filter { scalars[$0] == "\n" }.map { $0 + 1 }
  }
}

/// `$VAR` or `${VAR…}` as it stands in a text.
private struct VariableReference {
  var name: String
  /// Behind the name in braces, with its text.
  var rule: (sign: String, text: String)?
  /// First scalar behind it.
  var end: Int

  private static func startsName(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "_" || scalar.isASCII && scalar.properties.isAlphabetic
  }

  private static func isName(_ scalar: Unicode.Scalar) -> Bool { startsName(scalar) || ("0"..."9").contains(scalar) }

  init?(at dollar: Int, in scalars: [Unicode.Scalar]) {
    let braces = dollar + 1 < scalars.count && scalars[dollar + 1] == "{"
    let start = dollar + (braces ? 2 : 1)
    guard start < scalars.count, Self.startsName(scalars[start]) else { return nil }
    let stop = scalars[start...].firstIndex { !Self.isName($0) } ?? scalars.count
    name = String(String.UnicodeScalarView(scalars[start..<stop]))
    end = stop
    guard braces else { return }
    guard let close = Self.closingBrace(from: stop, in: scalars) else { return nil }
    end = close + 1
    if stop == close { return }
    for sign in [":=", ":-", ":+", "=", "-", "+"] {
      let behind = stop + sign.unicodeScalars.count
      guard behind <= close, scalars[stop..<behind].elementsEqual(sign.unicodeScalars) else { continue }
      rule = (sign, String(String.UnicodeScalarView(scalars[behind..<close])))
      return
    }
    return nil
  }

  /// On the same line; braces within count.
  private static func closingBrace(from start: Int, in scalars: [Unicode.Scalar]) -> Int? {
    var depth = 0
    for index in start..<scalars.count {
      switch scalars[index] {
      case "\n": return nil
      case "{": depth += 1
      case "}" where depth == 0: return index
      case "}": depth -= 1
      default: break
      }
    }
    return nil
  }

  /// nil: it stays as it is written.
  func value(in environment: [String: String], depth: Int = 0) -> String? {
    let value = environment[name]
    guard let rule else { return value }
    let text = depth < 4 ? ExpandedText.expand(rule.text, environment, depth: depth + 1) : rule.text
    switch rule.sign {
    case ":=", ":-": return value.flatMap { $0.isEmpty ? nil : $0 } ?? text
    case "=", "-": return value ?? text
    case ":+": return value.map { $0.isEmpty ? "" : text } ?? ""
    default: return value == nil ? "" : text
    }
  }
}

extension ExpandedText {
  /// A default may name variables itself: `${IMAGE:=frr:$VERSION}`.
  fileprivate static func expand(_ text: String, _ environment: [String: String], depth: Int) -> String {
    let scalars = Array(text.unicodeScalars)
    var result = String.UnicodeScalarView()
    var index = 0
    while index < scalars.count {
      if scalars[index] == "$", let reference = VariableReference(at: index, in: scalars),
        let value = reference.value(in: environment, depth: depth)
      {
        result.append(contentsOf: value.unicodeScalars)
        index = reference.end
      } else {
        result.append(scalars[index])
        index += 1
      }
    }
    return String(result)
  }
}

extension Array {
  /// The first index whose element holds, where all behind it hold too.
  func partitioningIndex(where holds: (Element) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
