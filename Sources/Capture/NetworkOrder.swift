/// Reads of big-endian fields that know where the bytes end.
extension UnsafeRawBufferPointer {
  /// The two bytes at the offset, nil when they are not both there.
  @inline(__always)
  func network16(_ offset: Int) -> UInt16? {
    guard offset >= 0, offset &+ 2 <= count else { return nil }
    return UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inline(__always)
  func network32(_ offset: Int) -> UInt32? {
    guard offset >= 0, offset &+ 4 <= count else { return nil }
    return UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  @inline(__always)
  func network64(_ offset: Int) -> UInt64? {
    guard offset >= 0, offset &+ 8 <= count else { return nil }
    return UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  @inline(__always)
  func byte(_ offset: Int) -> UInt8? { offset >= 0 && offset < count ? self[offset] : nil }
}
