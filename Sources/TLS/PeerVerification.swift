// Whether a peer is who it must be. Asked in three places: when a full handshake shows a certificate chain, when a
// client is about to offer a session, and when a server has opened a ticket. The last two matter because a resumption
// shows no certificates: what stood when the session began may have expired or been withdrawn since.
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
    if role == .server, SSL_CTX_set_session_ticket_cb(context, nil, acceptTicket, nil) != 1 {
      throw .openSSL("no check of tickets")
    }
  }
}

/// A ticket that was opened is used only when its holder would still be let in; otherwise a full handshake follows,
/// which fails with its reason or gives a new ticket.
private func acceptTicket(
  _ ssl: OpaquePointer?, _ session: OpaquePointer?, _: UnsafePointer<UInt8>?, _: Int, _ status: SSL_TICKET_STATUS,
  _: UnsafeMutableRawPointer?
) -> SSL_TICKET_RETURN {
  switch status {
  case SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW:
    guard let session, let connection = TLSConnection.of(ssl), connection.wouldAccept(session) else {
      return SSL_TICKET_RETURN_IGNORE_RENEW
    }
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW
  default: return SSL_TICKET_RETURN_IGNORE_RENEW
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
  func wouldAccept(_ session: OpaquePointer) -> Bool {
    guard context.verification == .peerRequired else { return true }
    guard let certificate = SSL_SESSION_get0_peer(session), let id = SPIFFEID(certificate: certificate) else {
      return false
    }
    return copenssl_seconds(X509_get0_notAfter(certificate)) > Int64(time(nil)) && authorize?(id) ?? true
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
