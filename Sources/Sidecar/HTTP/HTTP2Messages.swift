// Between the fields of HTTP/2 (RFC 9113 section 8) and the heads that everything else here knows. What was meant for one
// connection alone is left out, `:authority` is Host, names are in lower case.
import HTTP1
import HTTP2

extension RequestHead {
  /// The head of a request as it came, checked as strictly as one of HTTP/1.1.
  init(_ list: FieldList, endStream: Bool) throws(HTTP1Failure) {
    var builder = RequestHeadBuilder()
    try list.forEachField { name, value, isSensitive throws(HTTP1Failure) in
      guard name.first == UInt8(ascii: ":") else {
        return try builder.field(name, value, isSensitive: isSensitive)
      }
      switch (name.count, name.count > 1 ? name[1] : 0) {
      case (7, UInt8(ascii: "m")): try builder.method(value)
      case (7, UInt8(ascii: "s")): break  // the scheme, which decides nothing here
      case (5, UInt8(ascii: "p")): try builder.target(value)
      case (10, UInt8(ascii: "a")): try builder.authority(value)
      default: throw .invalidFieldName
      }
    }
    self = try builder.finish(hasContent: !endStream)
  }

  /// Fields of a request that goes on by HTTP/2.
  var fieldList: FieldList {
    var list = FieldList()
    list.reserve(fields: fields.count + 5, octets: 512)
    methodBytes.withUnsafeBufferPointer { list.append(":method", value: $0) }
    list.append(":scheme", "http")
    targetBytes.withUnsafeBufferPointer { list.append(":path", value: $0) }
    if let host = fields.firstIndex(of: .host) {
      fields.value(at: host).withUnsafeBufferPointer { list.append(":authority", value: $0) }
    }
    list.appendEndToEnd(fields, leavingHost: false)
    if fields.acceptsTrailers { list.append("te", "trailers") }
    return list
  }
}

extension ResponseHead {
  /// The head of a response as it came.
  init(_ list: FieldList, endStream: Bool) throws(HTTP1Failure) {
    guard let status = list.status else { throw .invalidStatusLine }
    try self.init(status: status, streamed: try HeaderFields(list), hasContent: !endStream)
  }

  /// Fields of a response that goes on by HTTP/2.
  var fieldList: FieldList {
    var list = FieldList()
    list.reserve(fields: fields.count + 1, octets: 384)
    if status == 200 {
      list.append(":status", "200")
    } else {
      list.append(HeaderField(":status", "\(status)"))
    }
    list.appendEndToEnd(fields, leavingHost: true)
    return list
  }
}

extension HeaderFields {
  /// All fields but those that begin with a colon.
  init(_ list: FieldList) throws(HTTP1Failure) {
    self.init()
    reserve(fields: list.count, octets: 384)
    try list.forEachField { name, value, isSensitive throws(HTTP1Failure) in
      if name.first == UInt8(ascii: ":") { return }
      try append(name: name, value: value, isSensitive: isSensitive)
    }
  }

  /// Fields that came behind the content.
  static func trailers(_ list: FieldList) throws(HTTP1Failure) -> HeaderFields {
    let fields = try HeaderFields(list)
    try fields.checkTrailers()
    return fields
  }

  var trailerList: FieldList {
    var list = FieldList()
    list.appendEndToEnd(self, leavingHost: true)
    return list
  }
}

extension FieldList {
  fileprivate mutating func appendEndToEnd(_ fields: HeaderFields, leavingHost: Bool) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { lowercase in
      fields.forEachEndToEnd { name, value, known, isSensitive in
        if known == .host, !leavingHost { return }
        guard name.count <= lowercase.count else {
          let lower = name.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }
          return lower.withUnsafeBufferPointer { append(name: $0, value: value, isSensitive: isSensitive) }
        }
        for index in name.indices { lowercase[index] = name[index] &- 0x41 < 26 ? name[index] | 0x20 : name[index] }
        append(name: UnsafeBufferPointer(rebasing: lowercase[..<name.count]), value: value, isSensitive: isSensitive)
      }
    }
  }
}
