// Nothing in a resource is passed over in silence. Each message that is read has a row in `FieldTable` with the fields
// that are; a message with another field set, one of the schema or one of which this version has never heard, is refused
// by the place of that field.
import FoundationEssentials
import SwiftProtobuf

enum FieldCheck {
  static func check(_ message: some Message, _ path: String) throws(ResourceError) {
    do {
      try visit(message, path)
    } catch let error as ResourceError {
      throw error
    } catch {
      throw ResourceError(path, "cannot be read")
    }
  }

  fileprivate static func visit<Body: Message>(_ message: Body, _ path: String) throws {
    var visitor = FieldVisitor(path: path, names: FieldTable.rows[Body.protoMessageName] ?? [:])
    try message.traverse(visitor: &visitor)
  }
}

/// Is shown every field that is set, in order of their numbers.
private struct FieldVisitor: Visitor {
  let path: String
  let names: [Int: String]

  private func place(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

  @discardableResult
  private func known(_ number: Int) throws -> String {
    guard let name = names[number] else { throw ResourceError(place("field \(number)"), "is not supported") }
    return place(name)
  }

  private func descend<Body: Message>(_ value: Body, _ path: String) throws {
    // Durations, wrappers, structs and packed messages are what they are.
    if Body.protoMessageName.hasPrefix("google.protobuf.") { return }
    try FieldCheck.visit(value, path)
  }

  mutating func visitSingularDoubleField(value: Double, fieldNumber: Int) throws { try known(fieldNumber) }
  mutating func visitSingularInt64Field(value: Int64, fieldNumber: Int) throws { try known(fieldNumber) }
  mutating func visitSingularUInt64Field(value: UInt64, fieldNumber: Int) throws { try known(fieldNumber) }
  mutating func visitSingularBoolField(value: Bool, fieldNumber: Int) throws { try known(fieldNumber) }
  mutating func visitSingularStringField(value: String, fieldNumber: Int) throws { try known(fieldNumber) }
  mutating func visitSingularBytesField(value: Data, fieldNumber: Int) throws { try known(fieldNumber) }
  mutating func visitSingularEnumField<E: Enum>(value: E, fieldNumber: Int) throws { try known(fieldNumber) }

  mutating func visitSingularMessageField<M: Message>(value: M, fieldNumber: Int) throws {
    try descend(value, try known(fieldNumber))
  }

  mutating func visitRepeatedMessageField<M: Message>(value: [M], fieldNumber: Int) throws {
    let name = try known(fieldNumber)
    for (index, item) in value.enumerated() { try descend(item, "\(name)[\(index)]") }
  }

  mutating func visitMapField<KeyType, ValueType: MapValueType>(
    fieldType: _ProtobufMap<KeyType, ValueType>.Type, value: _ProtobufMap<KeyType, ValueType>.BaseType,
    fieldNumber: Int
  ) throws { try known(fieldNumber) }

  mutating func visitMapField<KeyType, ValueType>(
    fieldType: _ProtobufEnumMap<KeyType, ValueType>.Type, value: _ProtobufEnumMap<KeyType, ValueType>.BaseType,
    fieldNumber: Int
  ) throws where ValueType.RawValue == Int { try known(fieldNumber) }

  mutating func visitMapField<KeyType, ValueType>(
    fieldType: _ProtobufMessageMap<KeyType, ValueType>.Type,
    value: _ProtobufMessageMap<KeyType, ValueType>.BaseType, fieldNumber: Int
  ) throws {
    let name = try known(fieldNumber)
    for (key, item) in value { try descend(item, "\(name)[\(String("\(key)".prefix(200)))]") }
  }

  mutating func visitUnknown(bytes: Data) throws {
    throw ResourceError(place("field \(FieldVisitor.number(bytes))"), "is not supported")
  }

  /// Of the first field in the bytes: a varint of the number and three bits of wire type (protobuf, "Encoding").
  private static func number(_ bytes: Data) -> UInt64 {
    var key: UInt64 = 0
    for (index, byte) in bytes.prefix(9).enumerated() {
      key |= UInt64(byte & 0x7F) << UInt64(7 * index)
      if byte & 0x80 == 0 { break }
    }
    return key >> 3
  }
}
