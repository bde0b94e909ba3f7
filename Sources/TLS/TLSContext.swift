// What many connections have in common: who we are, whom we trust, what we speak. A context never changes; new
// certificates or roots are a new context, and connections keep the one that they began with.
//
// Identities are SPIFFE IDs in certificates (X.509-SVID standard), whose chain is checked against the roots during the
// handshake, see PeerVerification.swift. A server keeps the sessions that can be resumed, shared by all who use its
// context; tickets (RFC 8446 section 4.6.1) are their names. Tickets that hold the session itself would let it outlive the
// context, but OpenSSL decodes the client's certificate out of each, which costs more than the rest of a resumption.
import COpenSSL

public final class TLSContext: Sendable {
  public enum Role: Sendable { case client, server }

  public enum Verification: Sendable {
    /// The peer must have a certificate with a SPIFFE ID that leads to the trusted roots. A server asks for it.
    case peerRequired
    /// The peer may be anyone. A server asks for no certificate, a client accepts every one.
    case none
  }

  public let role: Role
  /// The SPIFFE ID of the own certificate; empty without one.
  public let identity: String
  let verification: Verification
  let requiresKeyUsage: Bool
  /// SHA-256 over the roots and, of a client, over who it is: a session is good where this is the same.
  let sessionScope: [UInt8]
  private let alpn: [[UInt8]]
  private let keyLog: (@Sendable (String) -> Void)?
  private let handle: ContextHandle

  var pointer: OpaquePointer? { handle.pointer }

  /// - Parameters:
  ///   - certificateChain: PEM, the own certificate first; nil for a client without one.
  ///   - privateKey: PEM, not encrypted.
  ///   - trustedRoots: PEM, one or more; may be empty when nobody is verified.
  ///   - alpn: application protocols (RFC 7301), the most wanted first. A server refuses a client that offers others
  ///     only; a peer that offers none is taken.
  ///   - requiresKeyUsage: a peer's certificate without the extension is refused, as X.509-SVID (section 4.3) asks; one
  ///     that has it must allow signatures all the same.
  ///   - keyLog: gets lines in the NSS key log format, which lets a capture be decrypted.
  public init(
    role: Role, certificateChain: [UInt8]?, privateKey: [UInt8]?, trustedRoots: [UInt8], alpn: [String] = [],
    verify: Verification = .peerRequired, requiresKeyUsage: Bool = true,
    keyLog: (@Sendable (String) -> Void)? = nil
  ) throws(TLSSetupError) {
    guard let context = SSL_CTX_new(role == .client ? TLS_client_method() : TLS_server_method()) else {
      throw .openSSL("no TLS context")
    }
    handle = ContextHandle(owning: context)
    if copenssl_context_defaults(context) != 1 { throw .openSSL("no TLS 1.3") }
    var identity = ""
    if let certificateChain, let privateKey {
      identity = try Self.install(certificateChain, privateKey, in: context)?.description ?? ""
    } else if role == .server || certificateChain != nil || privateKey != nil {
      throw TLSSetupError("a certificate and its private key are needed")
    }
    try Self.install(roots: trustedRoots, in: context, needed: verify == .peerRequired)
    sessionScope = try Self.digest(trustedRoots + [0] + (role == .client ? Array(identity.utf8) : []))
    self.alpn = alpn.map { Array($0.utf8) }
    guard self.alpn.allSatisfy({ (1...255).contains($0.count) }) else {
      throw TLSSetupError("an application protocol's name has 1 to 255 bytes")
    }
    self.role = role
    self.identity = identity
    verification = verify
    self.requiresKeyUsage = requiresKeyUsage
    self.keyLog = keyLog
    // The context is in use only as long as a connection, which keeps this object, is.
    SSL_CTX_set_ex_data(context, 0, Unmanaged.passUnretained(self).toOpaque())
    if keyLog != nil { SSL_CTX_set_keylog_callback(context) { TLSContext.of(SSL_get_SSL_CTX($0))?.logKey($1) } }
    try setVerification(context)
    try setProtocols(context)
    try setSessions(context)
  }

  /// Returns the identity that the certificate gives.
  private static func install(
    _ chain: [UInt8], _ privateKey: [UInt8], in context: OpaquePointer
  ) throws(TLSSetupError) -> SPIFFEID? {
    let certificates = try PEM.certificates(chain, "certificate chain")
    let key = try PEM.privateKey(privateKey)
    for (index, certificate) in certificates.enumerated() {
      let result =
        index == 0
        ? SSL_CTX_use_certificate(context, certificate.pointer)
        : copenssl_context_add_chain(context, certificate.pointer)
      if result != 1 { throw .openSSL("certificate cannot be used") }
    }
    if SSL_CTX_use_PrivateKey(context, key.pointer) != 1 || SSL_CTX_check_private_key(context) != 1 {
      throw .openSSL("private key does not fit the certificate")
    }
    return SPIFFEID(certificate: certificates[0].pointer)
  }

  private static func install(
    roots: [UInt8], in context: OpaquePointer, needed: Bool
  ) throws(TLSSetupError) {
    if roots.isEmpty && !needed { return }
    let store = SSL_CTX_get_cert_store(context)
    for root in try PEM.certificates(roots, "trusted roots") where X509_STORE_add_cert(store, root.pointer) != 1 {
      throw .openSSL("trusted root cannot be used")
    }
  }

  private static func digest(_ bytes: [UInt8]) throws(TLSSetupError) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    if EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) != 1 { throw .openSSL("no SHA-256") }
    return digest
  }

  private func setProtocols(_ context: OpaquePointer) throws(TLSSetupError) {
    if alpn.isEmpty { return }
    if role == .server {
      SSL_CTX_set_alpn_select_cb(context, selectProtocol, nil)
      return
    }
    let wire = alpn.flatMap { [UInt8(truncatingIfNeeded: $0.count)] + $0 }
    // This one call of OpenSSL's returns 0 when it succeeds.
    if SSL_CTX_set_alpn_protos(context, wire, UInt32(clamping: wire.count)) != 0 { throw .openSSL("no ALPN") }
  }

  private func setSessions(_ context: OpaquePointer) throws(TLSSetupError) {
    if role == .client {
      copenssl_context_client_sessions(context) { ssl, session in
        if let session, let connection = TLSConnection.of(ssl) { connection.takeSession(session) }
        return 0
      }
      return
    }
    copenssl_context_server_sessions(context, Self.mostSessions) { ssl, session in
      if let session, let connection = TLSConnection.of(ssl) { connection.limitLifetime(session) }
      return 0
    }
    SSL_CTX_set_timeout(context, Self.sessionLifetime)
    if SSL_CTX_set_session_id_context(context, sessionScope, UInt32(sessionScope.count)) != 1 {
      throw .openSSL("no session context")
    }
  }

  /// Seconds. A session ends with its peer's certificate.
  private static let sessionLifetime = 3600
  /// Of a server. The one that was used longest ago makes room.
  private static let mostSessions = 4096

  /// Server: the first of our protocols that the client has, out of its list of length-prefixed names.
  fileprivate func select(from offered: UnsafeBufferPointer<UInt8>) -> Range<Int>? {
    for wanted in alpn {
      var index = 0
      while index < offered.count {
        let start = index + 1
        let end = start + Int(offered[index])
        if end > offered.count { break }
        if offered[start..<end].elementsEqual(wanted) { return start..<end }
        index = end
      }
    }
    return nil
  }

  private func logKey(_ line: UnsafePointer<CChar>?) {
    if let line { keyLog?(String(cString: line)) }
  }

  static func of(_ context: OpaquePointer?) -> TLSContext? {
    guard let data = SSL_CTX_get_ex_data(context, 0) else { return nil }
    return Unmanaged<TLSContext>.fromOpaque(data).takeUnretainedValue()
  }
}

/// OpenSSL's callback for ALPN; without a common protocol the handshake ends with no_application_protocol.
private func selectProtocol(
  _ ssl: OpaquePointer?, _ out: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
  _ outLength: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?, _ length: UInt32,
  _: UnsafeMutableRawPointer?
) -> Int32 {
  guard let context = TLSContext.of(SSL_get_SSL_CTX(ssl)), let offered, let out, let outLength,
    let chosen = context.select(from: UnsafeBufferPointer(start: offered, count: Int(length)))
  else { return SSL_TLSEXT_ERR_ALERT_FATAL }
  out.pointee = offered + chosen.lowerBound
  outLength.pointee = UInt8(truncatingIfNeeded: chosen.count)
  return SSL_TLSEXT_ERR_OK
}

/// The owner of an SSL_CTX. The address is kept as a number because a pointer cannot be shared between threads by type;
/// this one may be: contexts count their references atomically and are not written after they are set up
/// (openssl-threads(7)).
private final class ContextHandle: Sendable {
  private let address: UInt

  init(owning pointer: OpaquePointer) { address = UInt(bitPattern: pointer) }

  var pointer: OpaquePointer? { OpaquePointer(bitPattern: address) }

  deinit { SSL_CTX_free(pointer) }
}
