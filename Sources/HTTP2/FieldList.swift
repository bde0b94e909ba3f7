/// The fields of one message, in order, in two pieces of memory: a head costs no allocation per field.
///
/// It is a collection of `HeaderField`s for whoever looks at a few; `forEachField` and the `append`s of octets are for those
/// who pass whole messages on.
public struct FieldList: Sendable {
  struct Entry {
    var start: Int32
    var nameLength: Int32
    var valueLength: Int32
    var isSensitive: Bool
  }

  var octets: [UInt8] = []
  var entries: [Entry] = []

  public init() {}

  public init(_ fields: some Sequence<HeaderField>) {
    for field in fields { append(field) }
  }

  public mutating func reserve(fields: Int, octets count: Int) {
    entries.reserveCapacity(fields)
    octets.reserveCapacity(count)
  }

  public mutating func append(_ field: HeaderField) {
    let start = octets.count
    octets.append(contentsOf: field.name.utf8)
    let nameLength = octets.count - start
    octets.append(contentsOf: field.value)
    add(start, nameLength, field.value.count, field.isSensitive)
  }

  /// Adds a field of these octets; a session checks them when it sends.
  public mutating func append(
    name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>, isSensitive: Bool = false
  ) {
    let start = octets.count
    octets.append(contentsOf: name)
    octets.append(contentsOf: value)
    add(start, name.count, value.count, isSensitive)
  }

  public mutating func append(_ name: StaticString, value: UnsafeBufferPointer<UInt8>) {
    name.withUTF8Buffer { append(name: $0, value: value) }
  }

  public mutating func append(_ name: StaticString, _ value: StaticString) {
    value.withUTF8Buffer { append(name, value: $0) }
  }

  private mutating func add(_ start: Int, _ nameLength: Int, _ valueLength: Int, _ isSensitive: Bool) {
    entries.append(
      Entry(
        start: Int32(clamping: start), nameLength: Int32(clamping: nameLength),
        valueLength: Int32(clamping: valueLength),
        isSensitive: isSensitive))
  }

  /// What the list counts for against a limit (RFC 9113 section 6.5.2).
  public var listBytes: Int { octets.count + entries.count * HeaderField.overhead }

  /// Octets of every field, valid during the call only.
  @inline(__always)
  public func forEachField<Failure: Error>(
    _ body: (_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>, _ isSensitive: Bool)
      throws(Failure) -> Void
  ) throws(Failure) {
    try octets.withUnsafeBufferPointer { bytes throws(Failure) in
      for entry in entries {
        let middle = Int(entry.start + entry.nameLength)
        try body(
          UnsafeBufferPointer(rebasing: bytes[Int(entry.start)..<middle]),
          UnsafeBufferPointer(rebasing: bytes[middle..<(middle + Int(entry.valueLength))]), entry.isSensitive)
      }
    }
  }
}

extension FieldList: RandomAccessCollection {
  public var startIndex: Int { 0 }
  public var endIndex: Int { entries.count }

  public subscript(index: Int) -> HeaderField {
    let entry = entries[index]
    let middle = Int(entry.start + entry.nameLength)
    return HeaderField(
      String(decoding: octets[Int(entry.start)..<middle], as: UTF8.self),
      bytes: Array(octets[middle..<(middle + Int(entry.valueLength))]), isSensitive: entry.isSensitive)
  }
}

extension FieldList: CustomStringConvertible {
  public var description: String { "\(Array(self))" }
}

extension FieldList {
  /// The status of a response (RFC 9113 section 8.3.2); nil where `:status` does not come first.
  public var status: Int? {
    guard let first = entries.first else { return nil }
    let middle = Int(first.start + first.nameLength)
    let value = octets[middle..<(middle + Int(first.valueLength))]
    guard octets[Int(first.start)..<middle].elementsEqual(":status".utf8), value.count == 3 else { return nil }
    var status = 0
    for byte in value {
      guard (0x30...0x39).contains(byte) else { return nil }
      status = status * 10 + Int(byte - 0x30)
    }
    return status
  }
}
