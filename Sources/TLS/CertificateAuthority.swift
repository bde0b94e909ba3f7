// The authority of one trust domain: a self-signed P-256 root that issues short-lived certificates to workloads, in the
// form of the X.509-SVID standard. Its parts are PEM text, so it is a value that can be stored and shared.
import COpenSSL

/// A workload's certificate and key.
public struct IssuedCertificate: Sendable {
  /// PEM, the certificate alone: the root is the peer's to have.
  public let chain: [UInt8]
  /// PEM (PKCS #8), secret.
  public let privateKey: [UInt8]
  /// Seconds since 1970.
  public let notBefore: Int64
  /// Seconds since 1970.
  public let notAfter: Int64
  /// Hexadecimal, upper case, as `openssl x509 -serial` prints it.
  public let serial: String
}

public struct CertificateAuthority: Sendable {
  /// PEM of the root: what peers trust.
  public let certificate: [UInt8]
  /// PEM (PKCS #8), secret.
  public let privateKey: [UInt8]
  public let trustDomain: String
  /// When the root ends, in seconds since 1970.
  public let notAfter: Int64

  /// Ten years in seconds.
  public static let defaultLifetime: Int64 = 3650 * 86400

  /// Makes a new root for a trust domain.
  /// - Parameters:
  ///   - lifetime: seconds from `now`.
  ///   - now: seconds since 1970.
  public static func make(
    trustDomain: String, lifetime: Int64 = defaultLifetime, now: Int64
  ) throws(TLSSetupError) -> CertificateAuthority {
    guard let id = SPIFFEID("spiffe://\(trustDomain)"), id.path.isEmpty else {
      throw TLSSetupError("'\(trustDomain)' cannot be a trust domain")
    }
    let key = try generateKey()
    let blank = try CertificateTemplate(key: key, notBefore: now - clockSkew, notAfter: now + lifetime)
    try blank.setCommonName("\(trustDomain) mesh root")
    try blank.setIssuer(of: blank.certificate)
    try blank.add(NID_basic_constraints, "critical,CA:TRUE,pathlen:0", issuer: blank.certificate)
    try blank.add(NID_key_usage, "critical,keyCertSign,cRLSign", issuer: blank.certificate)
    try blank.add(NID_subject_key_identifier, "hash", issuer: blank.certificate)
    try blank.add(NID_subject_alt_name, "URI:\(id)", issuer: blank.certificate)
    let root = try blank.sign(with: key)
    return try CertificateAuthority(certificate: try PEM.text(root), privateKey: try PEM.text(key))
  }

  /// Restores a root from its PEM texts. They must belong together and be an authority's.
  public init(certificate: [UInt8], privateKey: [UInt8]) throws(TLSSetupError) {
    let root = try PEM.certificates(certificate, "authority")[0]
    let key = try PEM.privateKey(privateKey)
    if X509_check_private_key(root.pointer, key.pointer) != 1 {
      throw .openSSL("the authority's key does not fit its certificate")
    }
    guard X509_check_ca(root.pointer) == 1 else { throw TLSSetupError("the certificate is not an authority's") }
    guard let id = SPIFFEID(certificate: root.pointer), id.path.isEmpty else {
      throw TLSSetupError("the authority's certificate names no trust domain")
    }
    self.certificate = certificate
    self.privateKey = privateKey
    trustDomain = id.trustDomain
    notAfter = copenssl_seconds(X509_get0_notAfter(root.pointer))
  }

  /// Issues a certificate, with a new key, for a workload of the trust domain.
  /// - Parameters:
  ///   - dnsNames: further names in it, for clients that go by those.
  ///   - lifetime: seconds from `now`; it ends with the root at the latest.
  ///   - now: seconds since 1970. The certificate is valid from a minute before, for clocks that are behind.
  public func issue(
    identity: SPIFFEID, dnsNames: [String] = [], lifetime: Int64, now: Int64
  ) throws(TLSSetupError) -> IssuedCertificate {
    guard identity.trustDomain == trustDomain, !identity.path.isEmpty else {
      throw TLSSetupError("\(identity) is no workload of \(trustDomain)")
    }
    guard lifetime > 0, now < notAfter else { throw TLSSetupError("the certificate would have no time to live") }
    if let wrong = dnsNames.first(where: { !Self.isDNSName($0) }) { throw TLSSetupError("'\(wrong)' is no DNS name") }
    let root = try PEM.certificates(certificate, "authority")[0]
    let signer = try PEM.privateKey(privateKey)
    let key = try Self.generateKey()
    let notBefore = now - Self.clockSkew
    let end = min(now + lifetime, notAfter)
    let blank = try CertificateTemplate(key: key, notBefore: notBefore, notAfter: end)
    try blank.setIssuer(of: root)
    try blank.add(NID_basic_constraints, "critical,CA:FALSE", issuer: root)
    try blank.add(NID_key_usage, "critical,digitalSignature", issuer: root)
    try blank.add(NID_ext_key_usage, "serverAuth,clientAuth", issuer: root)
    try blank.add(NID_authority_key_identifier, "keyid:always", issuer: root)
    // The subject is empty, so the names must be critical (RFC 5280 section 4.2.1.6).
    let names = (["URI:\(identity)"] + dnsNames.map { "DNS:\($0)" }).joined(separator: ",")
    try blank.add(NID_subject_alt_name, "critical,\(names)", issuer: root)
    let issued = try blank.sign(with: signer)
    return IssuedCertificate(
      chain: try PEM.text(issued), privateKey: try PEM.text(key), notBefore: notBefore, notAfter: end,
      serial: blank.serial)
  }

  private static let clockSkew: Int64 = 60

  private static func generateKey() throws(TLSSetupError) -> PrivateKey {
    guard let key = copenssl_generate_p256() else { throw .openSSL("no P-256 key") }
    return PrivateKey(owning: key)
  }

  /// Letters, digits, hyphens, underscores and dots; it becomes part of a configuration text.
  private static func isDNSName(_ name: String) -> Bool {
    let rest = name.hasPrefix("*.") ? name.dropFirst(2) : name[...]
    return (1...253).contains(rest.utf8.count)
      && rest.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
      }
  }
}
