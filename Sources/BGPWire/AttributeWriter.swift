/// Appends path attributes to raw memory that the caller has made large enough. Lengths are counted here, never by hand.
public struct AttributeWriter {
  public private(set) var cursor: UnsafeMutableRawPointer
  private let start: UnsafeMutableRawPointer

  @inlinable public var count: Int { cursor - begin }
  @usableFromInline var begin: UnsafeMutableRawPointer { start }

  public init(_ target: UnsafeMutableRawPointer) {
    cursor = target
    start = target
  }

  /// The header; `count` octets of value have to follow.
  public mutating func header(_ type: AttributeType, _ flags: AttributeFlags, count: Int) {
    let plain = flags.subtracting(.extendedLength).rawValue & 0xE0
    if count > 255 {
      cursor.storeBytes(of: plain | AttributeFlags.extendedLength.rawValue, as: UInt8.self)
      (cursor + 1).storeBytes(of: type.rawValue, as: UInt8.self)
      (cursor + 2).storeBytes(of: UInt16(truncatingIfNeeded: count).bigEndian, as: UInt16.self)
      cursor += 4
    } else {
      cursor.storeBytes(of: plain, as: UInt8.self)
      (cursor + 1).storeBytes(of: type.rawValue, as: UInt8.self)
      (cursor + 2).storeBytes(of: UInt8(truncatingIfNeeded: count), as: UInt8.self)
      cursor += 3
    }
  }

  /// The header with the flags that the registry fixes for a known type.
  public mutating func header(_ type: AttributeType, count: Int) {
    header(type, AttributeRule.table[Int(type.rawValue)]?.flags ?? [.optional, .transitive], count: count)
  }

  public mutating func octet(_ value: UInt8) {
    cursor.storeBytes(of: value, as: UInt8.self)
    cursor += 1
  }

  public mutating func bigEndian(_ value: UInt16) {
    cursor.storeBytes(of: value.bigEndian, as: UInt16.self)
    cursor += 2
  }

  public mutating func bigEndian(_ value: UInt32) {
    cursor.storeBytes(of: value.bigEndian, as: UInt32.self)
    cursor += 4
  }

  public mutating func bigEndian(_ value: UInt64) {
    cursor.storeBytes(of: value.bigEndian, as: UInt64.self)
    cursor += 8
  }

  public mutating func bytes(_ value: UnsafeRawBufferPointer) {
    guard let source = value.baseAddress else { return }
    cursor.copyMemory(from: source, byteCount: value.count)
    cursor += value.count
  }

  public mutating func bytes(_ value: [UInt8]) {
    value.withUnsafeBytes { bytes($0) }
  }

  public mutating func attribute(_ type: AttributeType, _ value: UInt32) {
    header(type, count: 4)
    bigEndian(value)
  }

  public mutating func attribute(_ type: AttributeType, _ flags: AttributeFlags, _ value: UnsafeRawBufferPointer) {
    header(type, flags, count: value.count)
    bytes(value)
  }
}
