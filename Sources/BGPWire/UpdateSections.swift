/// The three variable fields of an UPDATE (RFC 4271 section 4.3), cut but not looked into.
public struct UpdateSections {
  public let withdrawn: UnsafeRawBufferPointer
  public let attributes: UnsafeRawBufferPointer
  public let nlri: UnsafeRawBufferPointer

  /// - Parameter body: the message behind its 19-octet header; the sections point into it.
  /// - Throws: a session reset when the two lengths do not fit the message (RFC 4271 section 6.3, kept by RFC 7606).
  public init(_ body: UnsafeRawBufferPointer) throws(UpdateFault) {
    let fault = UpdateFault(.sessionReset, .lengthsExceedMessage, code: .malformedAttributeList)
    guard body.count >= 4 else { throw fault }
    let withdrawnLength = Int(body.bigEndian16(at: 0))
    guard body.count >= 4 + withdrawnLength else { throw fault }
    let attributesStart = 4 + withdrawnLength
    let attributesLength = Int(body.bigEndian16(at: 2 + withdrawnLength))
    guard body.count >= attributesStart + attributesLength else { throw fault }
    withdrawn = UnsafeRawBufferPointer(rebasing: body[2..<2 + withdrawnLength])
    attributes = UnsafeRawBufferPointer(rebasing: body[attributesStart..<attributesStart + attributesLength])
    nlri = UnsafeRawBufferPointer(rebasing: body[(attributesStart + attributesLength)...])
  }
}

extension UnsafeRawBufferPointer {
  /// Network order, alignment of no matter; the caller has checked the bounds.
  @inlinable public func bigEndian16(at offset: Int) -> UInt16 {
    UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inlinable public func bigEndian32(at offset: Int) -> UInt32 {
    UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  @inlinable public func bigEndian64(at offset: Int) -> UInt64 {
    UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// The bytes from `start`, as a buffer of its own.
  @inlinable func dropping(_ start: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self[start...]) }
}
