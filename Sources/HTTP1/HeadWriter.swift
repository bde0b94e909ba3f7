// Heads → bytes, as the next hop gets them: the fields that were meant for this hop alone are left out, those of the
// framing are written anew (RFC 9110 section 7.6.1).

/// How a head that is passed on speaks about its connection.
public struct Forwarding: Sendable {
  /// `Connection: close`.
  public var closes = false
  /// The Upgrade field goes along, with the connection option that it needs.
  public var keepsUpgrade = false

  public init(closes: Bool = false, keepsUpgrade: Bool = false) {
    self.closes = closes
    self.keepsUpgrade = keepsUpgrade
  }
}

extension RequestHead {
  /// Appends the head as HTTP/1.1.
  /// - Parameter host: for a request that named none.
  public func write(to output: inout [UInt8], _ forwarding: Forwarding = Forwarding(), host: String = "") {
    output.reserveCapacity(output.count + fields.storage.count + 128)
    fields.copy(methodRange, to: &output)
    output.append(ByteClass.space)
    fields.copy(targetRange, to: &output)
    output.append(" HTTP/1.1\r\n")
    if fields.firstIndex(of: .host) == nil {
      output.append("Host: ")
      output.append(contentsOf: host.utf8)
      output.append("\r\n")
    }
    fields.writeEndToEnd(to: &output, keepsUpgrade: forwarding.keepsUpgrade)
    output.endHead(chunked: framing == .chunked, forwarding)
  }
}

extension ResponseHead {
  /// Appends the head as HTTP/1.1.
  /// - Parameter chunked: the content goes out in chunks, whatever way it came.
  public func write(to output: inout [UInt8], _ forwarding: Forwarding = Forwarding(), chunked: Bool? = nil) {
    output.reserveCapacity(output.count + fields.storage.count + 128)
    output.append("HTTP/1.1 ")
    output.append(decimal: UInt64(clamping: status))
    output.append(ByteClass.space)
    if reasonRange.isEmpty {
      output.append(contentsOf: ResponseHead.phrase(status).utf8)
    } else {
      fields.copy(reasonRange, to: &output)
    }
    output.append("\r\n")
    fields.writeEndToEnd(to: &output, keepsUpgrade: forwarding.keepsUpgrade)
    output.endHead(chunked: chunked ?? (framing == .chunked), forwarding)
  }
}

extension HeaderFields {
  @inline(__always)
  func copy(_ range: Range<Int32>, to output: inout [UInt8]) {
    storage.withUnsafeBytes { bytes in
      output.append(
        contentsOf: UnsafeRawBufferPointer(rebasing: bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
    }
  }

  fileprivate func writeEndToEnd(to output: inout [UInt8], keepsUpgrade: Bool) {
    for entry in entries {
      switch entry.known {
      case .hopByHop, .connection, .transferEncoding: continue
      case .upgrade where !keepsUpgrade: continue
      default: break
      }
      copy(entry.name, to: &output)
      output.append(": ")
      copy(entry.value, to: &output)
      output.append("\r\n")
    }
  }

  /// Appends the fields as trailers, without the empty line that ends them.
  public func writeTrailers(to output: inout [UInt8]) { writeEndToEnd(to: &output, keepsUpgrade: false) }
}

/// Writing chunks (RFC 9112 section 7.1).
extension [UInt8] {
  /// The line before a chunk of so many bytes, which is not 0.
  public mutating func appendChunkHeader(_ count: Int) {
    var digits = 16
    while digits > 1, count >> ((digits - 1) * 4) & 15 == 0 { digits -= 1 }
    for digit in stride(from: digits - 1, through: 0, by: -1) {
      let value = UInt8(truncatingIfNeeded: count >> (digit * 4) & 15)
      append(value < 10 ? 0x30 + value : 0x57 + value)
    }
    append("\r\n")
  }

  /// The line behind a chunk.
  public mutating func appendChunkEnd() { append("\r\n") }

  /// The last chunk with its trailers.
  public mutating func appendLastChunk(_ trailers: HeaderFields? = nil) {
    append("0\r\n")
    trailers?.writeTrailers(to: &self)
    append("\r\n")
  }

  @inline(__always)
  mutating func append(_ text: StaticString) {
    text.withUTF8Buffer { append(contentsOf: $0) }
  }

  mutating func append(decimal value: UInt64) {
    if value >= 10 { append(decimal: value / 10) }
    append(0x30 + UInt8(value % 10))
  }

  fileprivate mutating func endHead(chunked: Bool, _ forwarding: Forwarding) {
    if chunked { append("Transfer-Encoding: chunked\r\n") }
    if forwarding.keepsUpgrade {
      append("Connection: Upgrade\r\n")
    } else if forwarding.closes {
      append("Connection: close\r\n")
    }
    append("\r\n")
  }
}
