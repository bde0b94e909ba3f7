import COpenSSL

/// What a client needs to resume a session with the server that gave the ticket. Secret. For one thread; another gets
/// it by way of `serialized`.
public final class TLSSession {
  let pointer: OpaquePointer
  /// Of the context that it began with.
  let scope: [UInt8]

  init(owning pointer: OpaquePointer, scope: [UInt8]) {
    self.pointer = pointer
    self.scope = scope
  }

  deinit { SSL_SESSION_free(pointer) }

  /// The session as bytes, secret like itself; empty when it cannot be written.
  public var serialized: [UInt8] {
    let count = Int(i2d_SSL_SESSION(pointer, nil))
    guard count > 0 else { return [] }
    let encoded = [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
      var next = buffer.baseAddress
      written = max(0, Int(i2d_SSL_SESSION(pointer, &next)))
    }
    return scope + encoded
  }

  /// A session from its bytes; nil when they are damaged, or the context trusts other roots or is
  /// someone else.
  public init?(serialized: [UInt8], context: TLSContext) {
    let prefix = context.sessionScope.count
    guard serialized.count > prefix, serialized.starts(with: context.sessionScope) else { return nil }
    let session: OpaquePointer? = serialized.withUnsafeBufferPointer { buffer in
      var next = buffer.baseAddress.map { $0 + prefix }
      return d2i_SSL_SESSION(nil, &next, buffer.count - prefix)
    }
    ERR_clear_error()
    guard let session else { return nil }
    pointer = session
    scope = context.sessionScope
  }
}

extension TLSSession {
  /// Seconds for which the server said that it may be resumed.
  var lifetime: Int { Int(SSL_SESSION_get_ticket_lifetime_hint(pointer)) }
}
