import COpenSSL

/// A certificate on its way to being signed: version 3, a random serial number, no subject.
struct CertificateTemplate {
  let certificate: Certificate
  /// Hexadecimal, upper case.
  let serial: String

  /// - Parameters: notBefore and notAfter in seconds since 1970.
  init(key: PrivateKey, notBefore: Int64, notAfter: Int64) throws(TLSSetupError) {
    guard let x509 = X509_new() else { throw .openSSL("no certificate") }
    certificate = Certificate(owning: x509)
    let number = try Self.randomSerial()
    serial = number.map { Self.hexadecimal($0) }.joined()
    guard X509_set_version(x509, 2) == 1, Self.set(number, in: x509), X509_set_pubkey(x509, key.pointer) == 1,
      ASN1_TIME_set(X509_getm_notBefore(x509), Int(notBefore)) != nil,
      ASN1_TIME_set(X509_getm_notAfter(x509), Int(notAfter)) != nil
    else { throw .openSSL("certificate cannot be filled in") }
  }

  /// 16 bytes, positive, never shorter (RFC 5280 section 4.1.2.2 allows 20).
  private static func randomSerial() throws(TLSSetupError) -> [UInt8] {
    var number = [UInt8](repeating: 0, count: 16)
    if RAND_bytes(&number, Int32(number.count)) != 1 { throw .openSSL("no random bytes") }
    number[0] = number[0] & 0x7F | 0x40
    return number
  }

  private static func hexadecimal(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return digits.utf8.count == 1 ? "0" + digits : digits
  }

  private static func set(_ serial: [UInt8], in x509: OpaquePointer) -> Bool {
    let number = BN_bin2bn(serial, Int32(serial.count), nil)
    defer { BN_free(number) }
    return number != nil && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != nil
  }

  func setCommonName(_ text: String) throws(TLSSetupError) {
    let name = X509_get_subject_name(certificate.pointer)
    let bytes = Array(text.utf8)
    let added = X509_NAME_add_entry_by_NID(
      name, NID_commonName, MBSTRING_FLAG | 0, bytes, Int32(clamping: bytes.count), -1, 0)
    if added != 1 { throw .openSSL("subject '\(text)' cannot be set") }
  }

  func setIssuer(of issuer: Certificate) throws(TLSSetupError) {
    if X509_set_issuer_name(certificate.pointer, X509_get_subject_name(issuer.pointer)) != 1 {
      throw .openSSL("issuer cannot be set")
    }
  }

  /// Adds an extension in the words of x509v3_config(5).
  func add(_ nid: Int32, _ value: String, issuer: Certificate) throws(TLSSetupError) {
    if copenssl_add_extension(certificate.pointer, issuer.pointer, nid, value) != 1 {
      throw .openSSL("extension '\(value)' cannot be set")
    }
  }

  func sign(with key: PrivateKey) throws(TLSSetupError) -> Certificate {
    if X509_sign(certificate.pointer, key.pointer, EVP_sha256()) <= 0 {
      throw .openSSL("certificate cannot be signed")
    }
    return certificate
  }
}
