import COpenSSL
import Glibc

/// What TLS material cannot be used, and why: PEM that cannot be read, a key that does not fit.
public struct TLSSetupError: Error, Equatable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }

  /// `what`, followed by OpenSSL's reason where it left one.
  static func openSSL(_ what: String) -> TLSSetupError {
    let code = ERR_peek_error()
    ERR_clear_error()
    guard code != 0, let reason = ERR_reason_error_string(code) else { return TLSSetupError(what) }
    return TLSSetupError("\(what): \(String(cString: reason))")
  }
}

/// Why a TLS connection came to nothing.
public struct TLSFailure: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Reason: Hashable, Sendable {
    /// The peer's certificate is past its notAfter.
    case certificateExpired
    /// The peer's certificate is before its notBefore.
    case certificateNotYetValid
    /// No path from the peer's certificate to the trusted roots.
    case unknownAuthority
    /// The peer must show a certificate and showed none.
    case noCertificate
    /// The peer's certificate has no SPIFFE ID, or more than one URI.
    case noIdentity
    /// The peer is who it says, and is not wanted here.
    case notAuthorized(SPIFFEID)
    /// Anything else that is wrong with the peer's certificate.
    case certificateInvalid
    /// The peer does not speak TLS.
    case plainText
    /// The peer offers no TLS 1.3.
    case protocolVersion
    /// The two have no application protocol in common (ALPN, RFC 7301).
    case noCommonProtocol
    /// The peer gave up with this alert (RFC 8446 section 6).
    case alert(UInt8)
    /// The peer reset the TCP connection.
    case reset
    /// The peer closed the TCP connection in the middle of the handshake.
    case closed
    case other
  }

  /// The reason in one word, for metrics.
  public var word: String {
    switch reason {
    case .certificateExpired: "certificate-expired"
    case .certificateNotYetValid: "certificate-not-yet-valid"
    case .unknownAuthority: "unknown-authority"
    case .noCertificate: "no-certificate"
    case .noIdentity: "no-identity"
    case .notAuthorized: "not-authorized"
    case .certificateInvalid: "certificate-invalid"
    case .plainText: "plain-text"
    case .protocolVersion: "protocol-version"
    case .noCommonProtocol: "no-common-protocol"
    case .alert: "alert"
    case .reset: "reset"
    case .closed: "closed"
    case .other: "other"
    }
  }

  public let reason: Reason
  /// In words, for people.
  public let detail: String

  public var description: String { detail }

  init(_ reason: Reason, _ detail: String) {
    self.reason = reason
    self.detail = detail
  }
}

extension TLSFailure {
  /// What OpenSSL's error code says went wrong.
  init(openSSL code: UInt) {
    let reason = Int32(truncatingIfNeeded: code & UInt(ERR_REASON_MASK))
    switch reason {
    case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
      self.init(.plainText, "peer sent a plain HTTP request instead of TLS")
    case SSL_R_WRONG_VERSION_NUMBER, SSL_R_BAD_RECORD_TYPE, SSL_R_PACKET_LENGTH_TOO_LONG:
      self.init(.plainText, "peer sent something that is not TLS")
    case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_NO_PROTOCOLS_AVAILABLE:
      self.init(.protocolVersion, "peer offers no TLS 1.3")
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      self.init(.noCertificate, "peer showed no certificate")
    case SSL_R_NO_APPLICATION_PROTOCOL:
      self.init(.noCommonProtocol, "peer offers none of our application protocols")
    case Self.alertBase...(Self.alertBase + 255):
      let alert = UInt8(truncatingIfNeeded: reason - Self.alertBase)
      self.init(.alert(alert), "peer's alert: \(String(cString: SSL_alert_desc_string_long(Int32(alert))))")
    default:
      let words = ERR_reason_error_string(code).map { String(cString: $0) } ?? "TLS error"
      self.init(.other, words)
    }
  }

  /// Reasons from here on are alerts that came from the peer (SSL_AD_REASON_OFFSET in ssl.h).
  private static let alertBase = SSL_AD_REASON_OFFSET

  /// What a failed system call on the socket means.
  init(socketError code: Int32) {
    switch code {
    case ECONNRESET: self.init(.reset, "peer reset the connection")
    case EPIPE: self.init(.reset, "peer has closed the connection")
    case 0: self.init(.closed, "peer closed the connection")
    default: self.init(.other, String(cString: strerror(code)))
    }
  }

  /// What the verification of a certificate chain ended with (X509_V_ERR_* in x509_vfy.h).
  init(verification code: Int32, depth: Int32) {
    let whose = depth == 0 ? "peer's certificate" : "a certificate above the peer's"
    switch code {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      self.init(.certificateExpired, "\(whose) has expired")
    case X509_V_ERR_CERT_NOT_YET_VALID:
      self.init(.certificateNotYetValid, "\(whose) is not yet valid")
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
      X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
      X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_SIGNATURE_FAILURE:
      self.init(.unknownAuthority, "\(whose) is from an unknown authority")
    default:
      self.init(.certificateInvalid, "\(whose): \(String(cString: X509_verify_cert_error_string(Int(code))))")
    }
  }
}
