// The fields of one message, in order, in one buffer: names and values are ranges of it, so that a head costs two
// allocations however many fields it has, and none when its buffers are used again.
//
// A field that is removed leaves its bytes behind, a field that is set appends: heads are small and short-lived.

/// Fields whose meaning this module knows.
public enum KnownField: UInt8, Sendable {
  case other, host, contentLength, transferEncoding, connection, expect, upgrade
  /// Keep-Alive, TE, Trailer, Proxy-…, and whatever Connection names: meant for the next hop only.
  case hopByHop
  case contentType, traceparent
}

public struct HeaderFields: Sendable {
  struct Entry {
    var name: Range<Int32>
    var value: Range<Int32>
    var known: KnownField
    /// Never put into a compression table (RFC 7541 section 7.1.3).
    var isSensitive = false
  }

  var storage: [UInt8] = []
  var entries: [Entry] = []

  public init() {}

  public init(_ fields: [(name: String, value: String)]) {
    for field in fields { append(field.name, field.value) }
  }

  public var count: Int { entries.count }

  /// Empties it and keeps its memory, unless that has grown beyond what most messages need.
  public mutating func removeAll() {
    storage.removeAll(keepingCapacity: storage.capacity <= 8192)
    entries.removeAll(keepingCapacity: entries.capacity <= 64)
  }

  public func known(at index: Int) -> KnownField { entries[index].known }

  /// Makes room for a head of usual size.
  public mutating func reserve(fields: Int, octets: Int) {
    entries.reserveCapacity(fields)
    storage.reserveCapacity(octets)
  }

  /// The name as it was written.
  public func name(at index: Int) -> ArraySlice<UInt8> { slice(entries[index].name) }

  /// The value without white space around it.
  public func value(at index: Int) -> ArraySlice<UInt8> { slice(entries[index].value) }

  public func firstIndex(of known: KnownField) -> Int? {
    for index in entries.indices where entries[index].known == known { return index }
    return nil
  }

  public func lastIndex(of known: KnownField) -> Int? {
    for index in entries.indices.reversed() where entries[index].known == known { return index }
    return nil
  }

  /// Puts a value of the same length in the place of a field's.
  /// - Returns: false, and nothing done, for another length or bytes that no value may hold.
  public mutating func overwrite(at index: Int, _ value: [UInt8]) -> Bool {
    let range = entries[index].value
    guard range.count == value.count, value.allSatisfy(ByteClass.isFieldContent) else { return false }
    storage.replaceSubrange(Int(range.lowerBound)..<Int(range.upperBound), with: value)
    return true
  }

  /// The index of the first field of this name, in any case of letters.
  public func firstIndex(of name: String) -> Int? {
    for index in entries.indices where matches(entries[index].name, name) { return index }
    return nil
  }

  /// The value of the first field of this name; bytes that are no UTF-8 are replaced.
  public func first(_ name: String) -> String? {
    firstIndex(of: name).map { String(decoding: value(at: $0), as: UTF8.self) }
  }

  /// The values of all fields of this name joined as RFC 9110 section 5.3 has it; nil where there is none.
  public func combined(_ name: String) -> String? {
    var result: String?
    for index in entries.indices where matches(entries[index].name, name) {
      let value = String(decoding: value(at: index), as: UTF8.self)
      result = result.map { $0 + ", " + value } ?? value
    }
    return result
  }

  /// Adds a field behind all others.
  /// - Returns: false, and nothing done, for a name or value that no message may hold.
  @discardableResult
  public mutating func append(_ name: String, _ value: String) -> Bool {
    guard HeaderFields.isName(name), HeaderFields.isValue(value), storage.count < 1 << 20 else { return false }
    let start = Int32(storage.count)
    storage.append(contentsOf: name.utf8)
    let middle = Int32(storage.count)
    storage.append(contentsOf: value.utf8)
    let end = Int32(storage.count)
    entries.append(Entry(name: start..<middle, value: middle..<end, known: known(start..<middle)))
    return true
  }

  /// Replaces every field of the name by one.
  @discardableResult
  public mutating func set(_ name: String, _ value: String) -> Bool {
    guard HeaderFields.isName(name), HeaderFields.isValue(value) else { return false }
    remove(name)
    return append(name, value)
  }

  public mutating func remove(_ name: String) {
    for index in entries.indices.reversed() where matches(entries[index].name, name) { entries.remove(at: index) }
  }

  mutating func remove(at index: Int) { entries.remove(at: index) }

  public static func isName(_ name: String) -> Bool { !name.isEmpty && name.utf8.allSatisfy(ByteClass.isToken) }

  /// Whether it may be a value: no control characters, no white space at its ends (RFC 9110 section 5.5).
  public static func isValue(_ value: String) -> Bool {
    let bytes = value.utf8
    guard bytes.allSatisfy(ByteClass.isFieldContent) else { return false }
    guard let first = bytes.first, let last = bytes.last else { return true }
    return first > ByteClass.space && last > ByteClass.space
  }

  // MARK: Ranges

  @inline(__always)
  func slice(_ range: Range<Int32>) -> ArraySlice<UInt8> { storage[Int(range.lowerBound)..<Int(range.upperBound)] }

  func matches(_ range: Range<Int32>, _ name: String) -> Bool {
    let wanted = name.utf8
    guard range.count == wanted.count else { return false }
    return zip(slice(range), wanted).allSatisfy { ByteClass.lowercase($0) == ByteClass.lowercase($1) }
  }

  /// Whether the range is this text, which is written in lower case, in any case of letters.
  @inline(__always)
  func equals(_ range: Range<Int32>, _ text: StaticString) -> Bool {
    guard range.count == text.utf8CodeUnitCount else { return false }
    let start = Int(range.lowerBound)
    return storage.withUnsafeBufferPointer { bytes in
      text.withUTF8Buffer { wanted in
        for index in 0..<wanted.count where ByteClass.lowercase(bytes[start + index]) != wanted[index] { return false }
        return true
      }
    }
  }

  func known(_ name: Range<Int32>) -> KnownField {
    switch name.count {
    case 2: equals(name, "te") ? .hopByHop : .other
    case 4: equals(name, "host") ? .host : .other
    case 6: equals(name, "expect") ? .expect : .other
    case 7: equals(name, "upgrade") ? .upgrade : equals(name, "trailer") ? .hopByHop : .other
    case 10: equals(name, "connection") ? .connection : equals(name, "keep-alive") ? .hopByHop : .other
    case 11: equals(name, "traceparent") ? .traceparent : .other
    case 12: equals(name, "content-type") ? .contentType : .other
    case 14: equals(name, "content-length") ? .contentLength : .other
    case 16: equals(name, "proxy-connection") ? .hopByHop : .other
    case 17: equals(name, "transfer-encoding") ? .transferEncoding : .other
    case 18: equals(name, "proxy-authenticate") ? .hopByHop : .other
    case 19: equals(name, "proxy-authorization") ? .hopByHop : .other
    default: .other
    }
  }

  /// Marks the fields that Connection names (RFC 9110 section 7.6.1). The fields of framing and routing stay: a peer
  /// that could have them removed could make two hops read one message differently.
  mutating func markHopByHop(named token: Range<Int32>) {
    for index in entries.indices where entries[index].name.count == token.count {
      switch entries[index].known {
      case .other, .contentType, .expect, .hopByHop: break
      case .host, .contentLength, .transferEncoding, .connection, .upgrade, .traceparent: continue
      }
      let same = zip(slice(entries[index].name), slice(token)).allSatisfy {
        ByteClass.lowercase($0) == ByteClass.lowercase($1)
      }
      if same { entries[index].known = .hopByHop }
    }
  }
}
