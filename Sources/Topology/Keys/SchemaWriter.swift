/// Shapes → JSON Schema. Keys of later versions are left out, so a schema refuses them as unknown, as the parser does
/// by name.
struct SchemaWriter {
  func write(_ root: Record, title: String, alternatives: [Record] = []) -> String {
    var members: [(String, JSONText)] = [
      ("$schema", .string("https://json-schema.org/draft/2020-12/schema")), ("title", .string(title)),
    ]
    if alternatives.isEmpty {
      members += object(root)
    } else {
      members.append(("oneOf", .array(([root] + alternatives).map { .object(object($0)) })))
    }
    return JSONText.object(members).rendered() + "\n"
  }

  private func schema(_ shape: Shape) -> JSONText {
    switch shape {
    case .scalar(let form): return form.schema.json
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
          ("type", .string("object")), ("propertyNames", names(form.schema)), ("additionalProperties", schema(value)),
        ]))
    case .record(let record):
      let needsSomething =
        record.keys.contains { $0.status == .required } || !record.exactlyOne.isEmpty || !record.atLeastOne.isEmpty
      return needsSomething ? .object(object(record)) : orNothing(.object(object(record)))
    case .either(let shapes): return .object([("anyOf", .array(shapes.map(schema)))])
    }
  }

  /// A key with nothing behind it is an empty mapping or list.
  private func orNothing(_ schema: JSONText) -> JSONText {
    .object([("anyOf", .array([schema, .object([("type", .string("null"))])]))])
  }

  /// Names are always text.
  private func names(_ fragment: SchemaFragment) -> JSONText {
    switch fragment {
    case .scalar: return .object([("type", .string("string"))])
    case .anyOf(let members): return members.first.map(names) ?? fragment.json
    default: return fragment.json
    }
  }

  private func object(_ record: Record) -> [(String, JSONText)] {
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
