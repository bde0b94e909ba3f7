// Whether a peer is who it must be. Asked in three places: when a full handshake shows a certificate chain, when a
// client is about to offer a session, and when a server has resumed one. The last two matter because a resumption shows no
// certificates: what stood when the session began may have expired or been withdrawn since.
//
// Above the chain, rules of the X.509-SVID standard (sections 2, 4 and 5): exactly one URI, which is a SPIFFE ID of the
// root's trust domain, in a certificate that signs no others.
import COpenSSL
import Glibc

extension TLSContext {
  func setVerification(_ context: OpaquePointer) throws(TLSSetupError) {
    guard verification == .peerRequired else {
      SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
      return
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    SSL_CTX_set_cert_verify_callback(
      context,
      { store, _ in
        let ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx())
        guard let store, let ssl, let connection = TLSConnection.of(OpaquePointer(ssl)) else { return 0 }
        return connection.verify(store) ? 1 : 0
      }, nil)
  }
}

extension TLSConnection {
  /// Called by OpenSSL in the handshake, in place of its own verification.
  func verify(_ store: OpaquePointer) -> Bool {
    if X509_verify_cert(store) != 1 {
      refusal = TLSFailure(
        verification: X509_STORE_CTX_get_error(store), depth: X509_STORE_CTX_get_error_depth(store))
      return false
    }
    guard let leaf = X509_STORE_CTX_get0_cert(store) else { return false }
    switch identity(of: leaf, root: rootOf(store)) {
    case .success(let id):
      if authorize?(id) ?? true { return true }
      refusal = TLSFailure(.notAuthorized(id), "\(id) is not allowed here")
    case .failure(let failure):
      refusal = failure
    }
    // The alert that this error becomes is bad_certificate; OpenSSL has none that becomes access_denied.
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED)
    return false
  }

  private func rootOf(_ store: OpaquePointer) -> OpaquePointer? {
    let chain = X509_STORE_CTX_get0_chain(store)
    return OpaquePointer(OPENSSL_sk_value(chain, OPENSSL_sk_num(chain) - 1))
  }

  private func identity(of leaf: OpaquePointer, root: OpaquePointer?) -> Result<SPIFFEID, TLSFailure> {
    if X509_get_extension_flags(leaf) & UInt32(EXFLAG_CA) != 0 {
      return .failure(TLSFailure(.certificateInvalid, "peer's certificate is an authority's"))
    }
    let usage = X509_get_key_usage(leaf)
    let isSilent = usage == .max  // all bits set: the certificate does not say
    if isSilent, context.requiresKeyUsage {
      return .failure(TLSFailure(.certificateInvalid, "peer's certificate does not say its key usage"))
    }
    let signsOthers = usage & UInt32(KU_KEY_CERT_SIGN | KU_CRL_SIGN) != 0
    if !isSilent, usage & UInt32(KU_DIGITAL_SIGNATURE) == 0 || signsOthers {
      return .failure(TLSFailure(.certificateInvalid, "peer's certificate is for another key usage"))
    }
    guard let id = SPIFFEID(certificate: leaf) else {
      return .failure(TLSFailure(.noIdentity, "peer's certificate has no SPIFFE ID"))
    }
    if let root, let authority = SPIFFEID(certificate: root), authority.trustDomain != id.trustDomain {
      return .failure(
        TLSFailure(.unknownAuthority, "the authority of \(authority.trustDomain) cannot vouch for \(id)"))
    }
    return .success(id)
  }

  /// Whether the peer of a session, verified when the session began, would be let in now.
  func wouldAccept(_ session: OpaquePointer) -> Bool { refusal(of: session) == nil }

  /// Why the peer of a session would not be let in now.
  func refusal(of session: OpaquePointer) -> TLSFailure? {
    guard context.verification == .peerRequired else { return nil }
    guard let certificate = SSL_SESSION_get0_peer(session), let id = SPIFFEID(certificate: certificate) else {
      return TLSFailure(.noCertificate, "the session is nobody's")
    }
    if secondsLeft(certificate) <= 0 { return TLSFailure(.certificateExpired, "the certificate of \(id) has expired") }
    return authorize?(id) ?? true ? nil : TLSFailure(.notAuthorized(id), "\(id) is not allowed here")
  }

  /// A session that is to be kept is good for as long as its peer's certificate; each resumption begins it anew.
  func limitLifetime(_ session: OpaquePointer) {
    guard let certificate = SSL_SESSION_get0_peer(session) else { return }
    let left = Int(clamping: max(0, secondsLeft(certificate)))
    if SSL_SESSION_get_timeout(session) > left { SSL_SESSION_set_timeout(session, left) }
  }

  private func secondsLeft(_ certificate: OpaquePointer) -> Int64 {
    copenssl_seconds(X509_get0_notAfter(certificate)) - Int64(time(nil))
  }
}

extension SPIFFEID {
  /// The one URI of a certificate, when it is a SPIFFE ID.
  init?(certificate: OpaquePointer) {
    var text = [CChar](repeating: 0, count: Self.maximumBytes + 1)
    guard copenssl_uri_name(certificate, &text, text.count) == 1 else { return nil }
    self.init(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }
}
