// One TLS 1.3 connection over a non-blocking socket that its owner keeps and watches. Every call does what it can
// without waiting and says what it waits for.
//
// A client's handshake is done before the server has judged the client's certificate (RFC 8446 section 4.4.4): the
// refusal reaches the client as an alert, out of a later `read` or `write`.
import COpenSSL
import Glibc

/// How far a step that moves no application data has come.
public enum TLSProgress: Equatable, Sendable {
  case done
  case wantsRead
  case wantsWrite
  case failed(TLSFailure)
}

/// What became of a read or a write.
public enum TLSResult: Equatable, Sendable {
  /// So many bytes were moved.
  case bytes(Int)
  case wantsRead
  case wantsWrite
  /// The peer has said that it sends no more (close_notify).
  case closed
  /// The TCP connection ended without close_notify: something may be missing at the end.
  case truncated
  case failed(TLSFailure)
}

public final class TLSConnection {
  let context: TLSContext
  let authorize: (@Sendable (SPIFFEID) -> Bool)?
  private let ssl: OpaquePointer
  /// Why the peer's certificate was refused, where OpenSSL would only say that it was.
  var refusal: TLSFailure?
  /// After a failure OpenSSL's state must not be used any more (SSL_get_error(3)).
  private var failure: TLSFailure?

  /// Client: called from within `read` when the server has sent a ticket, possibly several times.
  public var newSession: ((TLSSession) -> Void)?
  /// Whom the handshake proved the peer to be; nil before, and where nobody is verified.
  public private(set) var peer: SPIFFEID?
  /// When the peer's certificate ends, in seconds since 1970.
  public private(set) var peerCertificateExpiry: Int64?
  public private(set) var isHandshakeDone = false

  /// - Parameters:
  ///   - descriptor: a connected, non-blocking stream socket; it is not closed here and must outlive the connection.
  ///   - serverName: client: the name to ask for (SNI). It is not compared with the certificate; the SPIFFE ID counts.
  ///   - resuming: client: a session that `newSession` gave. Not offered when its server would not be accepted now.
  ///   - authorize: whether this peer is wanted. Called during the handshake, so that a refusal is an alert to the peer
  ///     (bad_certificate) and `.notAuthorized` here; called for the peer of a resumed session too.
  public init(
    _ context: TLSContext, descriptor: Int32, serverName: String? = nil, resuming: TLSSession? = nil,
    authorize: (@Sendable (SPIFFEID) -> Bool)? = nil
  ) throws(TLSSetupError) {
    guard let ssl = SSL_new(context.pointer) else { throw .openSSL("no TLS connection") }
    self.ssl = ssl
    self.context = context
    self.authorize = authorize
    SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
    if copenssl_set_socket(ssl, descriptor) != 1 { throw .openSSL("no TLS transport") }
    guard context.role == .client else {
      SSL_set_accept_state(ssl)
      return
    }
    SSL_set_connect_state(ssl)
    if let serverName, copenssl_set_server_name(ssl, serverName) != 1 { throw .openSSL("no server name") }
    // A copy: OpenSSL lets a session of TLS 1.3 be used once, and other connections may begin before the next one comes.
    if let resuming, resuming.scope == context.sessionScope, wouldAccept(resuming.pointer),
      let copy = SSL_SESSION_dup(resuming.pointer)
    {
      SSL_set_session(ssl, copy)
      SSL_SESSION_free(copy)
    }
  }

  deinit {
    // OpenSSL forbids a session whose connection ended without close_notify to be resumed. TLS 1.3 has no such rule, and
    // pooled connections often end so.
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
    SSL_free(ssl)
  }

  static func of(_ ssl: OpaquePointer?) -> TLSConnection? {
    guard let data = SSL_get_ex_data(ssl, 0) else { return nil }
    return Unmanaged<TLSConnection>.fromOpaque(data).takeUnretainedValue()
  }

  /// Keeps a copy of a session that OpenSSL offers: it marks its own as useless when the connection that has it ends
  /// without close_notify.
  func takeSession(_ session: OpaquePointer) {
    guard let newSession, let copy = SSL_SESSION_dup(session) else { return }
    newSession(TLSSession(owning: copy, scope: context.sessionScope))
  }
}

// MARK: - Moving bytes

extension TLSConnection {
  /// Goes on with the handshake. To be called until it is done or has failed.
  public func handshake() -> TLSProgress {
    if let failure { return .failed(failure) }
    if isHandshakeDone { return .done }
    ERR_clear_error()
    let result = SSL_do_handshake(ssl)
    if result == 1 {
      if let failure = refusedResumption() {
        self.failure = failure
        return .failed(failure)
      }
      finishHandshake()
      return .done
    }
    switch outcome(result) {
    case .wantsRead: return .wantsRead
    case .wantsWrite: return .wantsWrite
    case .failed(let failure): return .failed(failure)
    case .bytes, .closed, .truncated:
      let failure = TLSFailure(.closed, "peer closed the connection during the handshake")
      self.failure = failure
      return .failed(failure)
    }
  }

  /// Reads at least one byte, or says why not. Bytes may be left in OpenSSL's buffers, of which epoll knows nothing: read
  /// until `.wantsRead`, or look at `hasPending` before waiting.
  public func read(into buffer: UnsafeMutableRawBufferPointer) -> TLSResult {
    if let failure { return .failed(failure) }
    if buffer.isEmpty { return .bytes(0) }
    if let unfinished = finishedHandshake() { return unfinished }
    ERR_clear_error()
    var count = 0
    let result = SSL_read_ex(ssl, buffer.baseAddress, buffer.count, &count)
    return result == 1 ? .bytes(count) : outcome(result)
  }

  /// Writes what fits. After `.wantsWrite` or `.wantsRead` the next write must begin with the same bytes, though they
  /// may lie elsewhere and more may follow them: a record of them is already made.
  public func write(_ bytes: UnsafeRawBufferPointer) -> TLSResult {
    if let failure { return .failed(failure) }
    if bytes.isEmpty { return .bytes(0) }
    if let unfinished = finishedHandshake() { return unfinished }
    ERR_clear_error()
    var count = 0
    let result = SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &count)
    return result == 1 ? .bytes(count) : outcome(result)
  }

  /// What a read or write before the end of the handshake comes to; nil when the handshake is done.
  private func finishedHandshake() -> TLSResult? {
    switch handshake() {
    case .done: nil
    case .wantsRead: .wantsRead
    case .wantsWrite: .wantsWrite
    case .failed(let failure): .failed(failure)
    }
  }

  /// Sends close_notify: no more is written after it, and what the peer sends may still be read.
  public func shutdown() -> TLSProgress {
    if let failure { return .failed(failure) }
    if !isHandshakeDone { return .done }
    ERR_clear_error()
    let result = SSL_shutdown(ssl)
    if result >= 0 { return .done }
    switch outcome(result) {
    case .wantsWrite: return .wantsWrite
    case .failed(let failure): return .failed(failure)
    default: return .done  // it is the peer's close_notify that is missing
    }
  }

  /// Whether bytes of the peer lie here that no event of the socket will announce.
  public var hasPending: Bool { SSL_has_pending(ssl) == 1 }

  private func outcome(_ result: Int32) -> TLSResult {
    switch SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ: return .wantsRead
    case SSL_ERROR_WANT_WRITE: return .wantsWrite
    case SSL_ERROR_ZERO_RETURN: return .closed
    case SSL_ERROR_SYSCALL: return fail(TLSFailure(socketError: copenssl_socket_error(ssl)))
    default:
      if let refusal { return fail(refusal) }
      let code = ERR_peek_error()
      ERR_clear_error()
      if Int32(truncatingIfNeeded: code & UInt(ERR_REASON_MASK)) == SSL_R_UNEXPECTED_EOF_WHILE_READING {
        return .truncated
      }
      return fail(TLSFailure(openSSL: code))
    }
  }

  private func fail(_ failure: TLSFailure) -> TLSResult {
    self.failure = failure
    return .failed(failure)
  }
}

// MARK: - What the handshake agreed on

extension TLSConnection {
  /// Server: a client whose session was resumed though it would not be let in now. Sessions that have ended with a
  /// certificate are not resumed at all.
  private func refusedResumption() -> TLSFailure? {
    guard context.role == .server, isResumed, let session = SSL_get_session(ssl) else { return nil }
    return refusal(of: session)
  }

  private func finishHandshake() {
    isHandshakeDone = true
    guard context.verification == .peerRequired, let certificate = SSL_get0_peer_certificate(ssl) else { return }
    peer = SPIFFEID(certificate: certificate)
    peerCertificateExpiry = copenssl_seconds(X509_get0_notAfter(certificate))
  }

  /// The application protocol (ALPN); nil when there is none.
  public var negotiatedProtocol: String? {
    var start: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &start, &count)
    guard let start, count > 0 else { return nil }
    return String(decoding: UnsafeBufferPointer(start: start, count: Int(count)), as: UTF8.self)
  }

  /// Whether the handshake resumed a session, without certificates.
  public var isResumed: Bool { SSL_session_reused(ssl) == 1 }
}
