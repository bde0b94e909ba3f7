import CNGHTTP2

/// Fields in the form in which nghttp2 takes them.
extension FieldList {
  /// nghttp2 copies them before the call returns.
  func withFields(_ body: (UnsafePointer<nghttp2_nv>?, Int) -> Int32) -> Int32 {
    octets.withUnsafeBufferPointer { octets in
      withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: Swift.max(entries.count, 1)) { fields in
        // Read only, whatever the type says.
        let base = octets.baseAddress.map { UnsafeMutablePointer(mutating: $0) }
        for (index, entry) in entries.enumerated() {
          let flag = entry.isSensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE
          let name = base.map { $0 + Int(entry.start) }
          fields.initializeElement(
            at: index,
            to: nghttp2_nv(
              name: name, value: name.map { $0 + Int(entry.nameLength) }, namelen: Int(entry.nameLength),
              valuelen: Int(entry.valueLength), flags: UInt8(flag.rawValue)))
        }
        return body(fields.baseAddress, entries.count)
      }
    }
  }

  /// The index of the first field that may not be sent: a name in lower case, a value without control characters or
  /// spaces at its ends (RFC 9113 section 8.2.1), pseudo-header fields as RFC 9110 has their parts.
  var firstInvalid: Int? {
    octets.withUnsafeBufferPointer { octets in
      for (index, entry) in entries.enumerated() {
        let middle = Int(entry.start + entry.nameLength)
        let name = UnsafeBufferPointer(rebasing: octets[Int(entry.start)..<middle])
        let value = UnsafeBufferPointer(rebasing: octets[middle..<(middle + Int(entry.valueLength))])
        if !Self.isValid(name, value) { return index }
      }
      return nil
    }
  }

  private static func isValid(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) -> Bool {
    guard nghttp2_check_header_name(name.baseAddress, name.count) != 0 else { return false }
    guard name.first == UInt8(ascii: ":") else {
      return nghttp2_check_header_value_rfc9113(value.baseAddress, value.count) != 0
    }
    return switch String(decoding: name, as: UTF8.self) {
    case ":method": nghttp2_check_method(value.baseAddress, value.count) != 0
    case ":path": nghttp2_check_path(value.baseAddress, value.count) != 0
    case ":authority": nghttp2_check_authority(value.baseAddress, value.count) != 0
    default: nghttp2_check_header_value_rfc9113(value.baseAddress, value.count) != 0
    }
  }
}
