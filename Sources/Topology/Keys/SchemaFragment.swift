/// A piece of JSON Schema (draft 2020-12). YAML readers turn some scalars into numbers and booleans before a
/// validator sees them, so every scalar here says which JSON types its text may arrive as.
indirect enum SchemaFragment: Sendable {
  case string(pattern: String?, maxLength: Int?)
  case integer(ClosedRange<Int>)
  /// A number that is no integer: an AS number in dotted form, as a YAML reader sees it.
  case fraction
  case bool
  case words([String])
  case anyOf([SchemaFragment])
  /// Any scalar: text that a YAML reader may have taken for something else.
  case scalar

  static func text(_ pattern: String? = nil, maxLength: Int? = nil) -> SchemaFragment {
    pattern == nil && maxLength == nil ? .scalar : .string(pattern: pattern, maxLength: maxLength)
  }

  var json: JSONText {
    switch self {
    case .string(let pattern, let maxLength):
      var members: [(String, JSONText)] = [("type", .string("string"))]
      if let pattern { members.append(("pattern", .string(pattern))) }
      if let maxLength { members.append(("maxLength", .number(maxLength))) }
      return .object(members)
    case .integer(let range):
      let number: [(String, JSONText)] = [
        ("type", .string("integer")), ("minimum", .number(range.lowerBound)), ("maximum", .number(range.upperBound)),
      ]
      let text: [(String, JSONText)] = [("type", .string("string")), ("pattern", .string("^[0-9]+$"))]
      return .object([("anyOf", .array([.object(number), .object(text)]))])
    case .fraction:
      return .object([("type", .string("number")), ("not", .object([("type", .string("integer"))]))])
    case .bool:
      return .object([("enum", .array([.bool(true), .bool(false), .string("true"), .string("false")]))])
    case .words(let words):
      // What a YAML reader makes of some words.
      let bools = words.compactMap { $0 == "true" ? JSONText.bool(true) : $0 == "false" ? .bool(false) : nil }
      let numbers = words.compactMap { Int($0).map(JSONText.number) }
      return .object([("enum", .array(words.map(JSONText.string) + bools + numbers))])
    case .anyOf(let members): return .object([("anyOf", .array(members.map(\.json)))])
    case .scalar:
      return .object([("type", .array(["string", "number", "boolean"].map(JSONText.string)))])
    }
  }
}

/// Just enough JSON to write a schema, with members in a fixed order.
indirect enum JSONText: Sendable {
  case string(String)
  case number(Int)
  case bool(Bool)
  case null
  case array([JSONText])
  case object([(String, JSONText)])

  func rendered(indent: Int = 0) -> String {
    let inner = String(repeating: " ", count: indent + 2)
    let outer = String(repeating: " ", count: indent)
    switch self {
    case .string(let text): return Self.quoted(text)
    case .number(let value): return String(value)
    case .bool(let value): return value ? "true" : "false"
    case .null: return "null"
    case .array(let items):
      let simple = items.allSatisfy { if case .object = $0 { false } else { true } }
      if simple { return "[" + items.map { $0.rendered() }.joined(separator: ", ") + "]" }
      return "[\n" + items.map { inner + $0.rendered(indent: indent + 2) }.joined(separator: ",\n") + "\n\(outer)]"
    case .object(let members):
      if members.isEmpty { return "{}" }
      let lines = members.map { inner + Self.quoted($0.0) + ": " + $0.1.rendered(indent: indent + 2) }
      return "{\n" + lines.joined(separator: ",\n") + "\n\(outer)}"
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case let scalar where scalar.value < 0x20:
        result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
