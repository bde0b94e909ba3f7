import CNGHTTP2

/// Fields in the form in which nghttp2 takes them: all octets in one piece.
struct FieldBlock {
  private var octets: [UInt8] = []
  private var lengths: [(name: Int, value: Int, flags: UInt8)] = []

  init(_ fields: [HeaderField]) {
    octets.reserveCapacity(fields.reduce(0) { $0 + $1.listBytes })
    lengths.reserveCapacity(fields.count)
    for field in fields {
      octets.append(contentsOf: field.name.utf8)
      octets.append(contentsOf: field.value)
      let flag = field.isSensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE
      lengths.append((field.name.utf8.count, field.value.count, UInt8(flag.rawValue)))
    }
  }

  /// nghttp2 copies them before the call returns.
  func withFields(_ body: (UnsafePointer<nghttp2_nv>?, Int) -> Int32) -> Int32 {
    var octets = octets
    return octets.withUnsafeMutableBufferPointer { buffer in
      var next = buffer.baseAddress
      let fields = lengths.map { name, value, flags in
        let field = nghttp2_nv(
          name: next, value: next.map { $0 + name }, namelen: name, valuelen: value, flags: flags)
        next = next.map { $0 + name + value }
        return field
      }
      return fields.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
    }
  }

  /// Whether a field may be sent: a name in lower case, a value without control characters or spaces at its ends
  /// (RFC 9113 section 8.2.1), pseudo-header fields as RFC 9110 has their parts.
  static func isValid(_ field: HeaderField) -> Bool {
    var name = field.name
    let isName = name.withUTF8 { nghttp2_check_header_name($0.baseAddress, $0.count) != 0 }
    guard isName else { return false }
    return field.value.withUnsafeBufferPointer { value in
      switch field.name {
      case ":method": nghttp2_check_method(value.baseAddress, value.count) != 0
      case ":path": nghttp2_check_path(value.baseAddress, value.count) != 0
      case ":authority": nghttp2_check_authority(value.baseAddress, value.count) != 0
      default: nghttp2_check_header_value_rfc9113(value.baseAddress, value.count) != 0
      }
    }
  }
}
