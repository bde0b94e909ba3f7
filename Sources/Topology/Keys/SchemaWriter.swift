/// Shapes → JSON Schema. Keys of later versions are left out, so a schema refuses them as unknown, as the parser does
/// by name. Every record below the root is written once, under `$defs`: node keys stand in nodes, defaults and CHANGEs.
struct SchemaWriter {
  private var definitions: [(name: String, schema: JSONText)] = []
  /// By what is written, since several records have one noun.
  private var names: [String: String] = [:]
  /// Inside a part whose scalars may be written as `${NAME}`.
  private var takesVariables = false

  mutating func write(_ root: Record, title: String, alternatives: [Record] = []) -> String {
    var members: [(String, JSONText)] = [
      ("$schema", .string("https://json-schema.org/draft/2020-12/schema")), ("title", .string(title)),
    ]
    if alternatives.isEmpty {
      members += object(root)
    } else {
      members.append(("oneOf", .array(([root] + alternatives).map { .object(object($0)) })))
    }
    members.append(("$defs", .object(definitions.map { ($0.name, $0.schema) })))
    return JSONText.object(members).rendered() + "\n"
  }

  /// A reference to the record's definition.
  private mutating func reference(_ record: Record) -> JSONText {
    let definition = JSONText.object(object(record))
    let text = definition.rendered()
    if let name = names[text] { return .object([("$ref", .string("#/$defs/\(name)"))]) }
    let words = record.noun.split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }.filter { $0 != "a" && $0 != "an" }
    let base = words.joined(separator: "-")
    let count = definitions.reduce(0) { $0 + ($1.name == base || $1.name.hasPrefix("\(base).") ? 1 : 0) }
    let name = count == 0 ? base : "\(base).\(count + 1)"
    names[text] = name
    definitions.append((name, definition))
    return .object([("$ref", .string("#/$defs/\(name)"))])
  }

  private mutating func schema(_ shape: Shape) -> JSONText {
    switch shape {
    case .scalar(let form): return orVariable(form.schema).json
    case .list(let item, let count, _):
      var members: [(String, JSONText)] = [("type", .string("array")), ("items", schema(item))]
      if let count {
        members.append(("minItems", .number(count.lowerBound)))
        members.append(("maxItems", .number(count.upperBound)))
        return .object(members)
      }
      return orNothing(.object(members))
    case .names(let form, let value, _):
      return orNothing(
        .object([
          ("type", .string("object")), ("propertyNames", propertyNames(orVariable(form.schema))),
          ("additionalProperties", schema(value)),
        ]))
    case .record(let record):
      let needsSomething =
        record.keys.contains { $0.status == .required } || !record.exactlyOne.isEmpty || !record.atLeastOne.isEmpty
      return needsSomething ? reference(record) : orNothing(reference(record))
    case .either(let shapes): return .object([("anyOf", .array(shapes.map { schema($0) }))])
    case .withVariables(let shape):
      takesVariables = true
      defer { takesVariables = false }
      return schema(shape)
    case .removable(let shape):
      let nothing = JSONText.object([("enum", .array([.null, .string("null"), .string("~"), .string("")]))])
      return .object([("anyOf", .array([schema(shape), nothing]))])
    }
  }

  private func orVariable(_ fragment: SchemaFragment) -> SchemaFragment {
    if case .scalar = fragment { return fragment }
    return takesVariables ? .anyOf([fragment, .text("\\$\\{[A-Za-z_][A-Za-z0-9_-]*\\}")]) : fragment
  }

  /// A key with nothing behind it is an empty mapping or list.
  private func orNothing(_ schema: JSONText) -> JSONText {
    .object([("anyOf", .array([schema, .object([("type", .string("null"))])]))])
  }

  /// Names are always text.
  private func propertyNames(_ fragment: SchemaFragment) -> JSONText {
    switch fragment {
    case .scalar: return .object([("type", .string("string"))])
    case .anyOf(let members):
      let texts = members.filter { if case .integer = $0 { false } else { true } }
      return texts.count == 1
        ? propertyNames(texts[0]) : .object([("anyOf", .array(texts.map(propertyNames)))])
    default: return fragment.json
    }
  }

  private mutating func object(_ record: Record) -> [(String, JSONText)] {
    let keys = record.keys.filter { $0.status != .notYet }
    let properties = keys.map { key -> (String, JSONText) in
      guard case .object(let members) = schema(key.shape) else { return (key.name, schema(key.shape)) }
      return (key.name, .object([("description", .string(key.doc))] + members))
    }
    var members: [(String, JSONText)] = [
      ("type", .string("object")), ("additionalProperties", .bool(false)), ("properties", .object(properties)),
    ]
    let required = keys.filter { $0.status == .required }.map(\.name)
    if !required.isEmpty { members.append(("required", .array(required.map(JSONText.string)))) }
    let one = { (name: String) in JSONText.object([("required", .array([.string(name)]))]) }
    if !record.exactlyOne.isEmpty { members.append(("oneOf", .array(record.exactlyOne.map(one)))) }
    if !record.atLeastOne.isEmpty { members.append(("anyOf", .array(record.atLeastOne.map(one)))) }
    return members
  }
}
