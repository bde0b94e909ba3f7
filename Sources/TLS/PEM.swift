// Reading and writing of PEM (RFC 7468). What is read is owned by the value that it comes in.
import COpenSSL

/// An owned certificate.
final class Certificate {
  let pointer: OpaquePointer

  init(owning pointer: OpaquePointer) { self.pointer = pointer }

  deinit { X509_free(pointer) }
}

/// An owned private key.
final class PrivateKey {
  let pointer: OpaquePointer

  init(owning pointer: OpaquePointer) { self.pointer = pointer }

  deinit { EVP_PKEY_free(pointer) }
}

enum PEM {
  /// Every certificate in the text, at least one.
  static func certificates(_ bytes: [UInt8], _ what: String) throws(TLSSetupError) -> [Certificate] {
    let found: [Certificate] = withBIO(bytes) { bio in
      var found: [Certificate] = []
      while let certificate = PEM_read_bio_X509(bio, nil, noPassword, nil) {
        found.append(Certificate(owning: certificate))
      }
      return found
    }
    if found.isEmpty { throw .openSSL("\(what): no certificate in PEM") }
    ERR_clear_error()  // the end of the text counts as an error
    return found
  }

  static func privateKey(_ bytes: [UInt8]) throws(TLSSetupError) -> PrivateKey {
    let key = withBIO(bytes) { PEM_read_bio_PrivateKey($0, nil, noPassword, nil) }
    guard let key else { throw .openSSL("no private key in PEM") }
    return PrivateKey(owning: key)
  }

  static func text(_ certificate: Certificate) throws(TLSSetupError) -> [UInt8] {
    try written { PEM_write_bio_X509($0, certificate.pointer) }
  }

  static func text(_ key: PrivateKey) throws(TLSSetupError) -> [UInt8] {
    try written { PEM_write_bio_PKCS8PrivateKey($0, key.pointer, nil, nil, 0, nil, nil) }
  }

  private static func written(_ write: (OpaquePointer) -> Int32) throws(TLSSetupError) -> [UInt8] {
    guard let bio = BIO_new(BIO_s_mem()) else { throw .openSSL("no memory for PEM") }
    defer { BIO_free(bio) }
    if write(bio) != 1 { throw .openSSL("PEM cannot be written") }
    var start: UnsafePointer<UInt8>?
    let count = copenssl_memory(bio, &start)
    return Array(UnsafeBufferPointer(start: start, count: count))
  }

  private static func withBIO<Result>(_ bytes: [UInt8], _ body: (OpaquePointer?) -> Result) -> Result {
    bytes.withUnsafeBytes { buffer in
      let bio = BIO_new_mem_buf(buffer.baseAddress, Int32(clamping: buffer.count))
      defer { BIO_free(bio) }
      return body(bio)
    }
  }
}

/// An encrypted key is refused; OpenSSL would ask the terminal for its password.
private func noPassword(_: UnsafeMutablePointer<CChar>?, _: Int32, _: Int32, _: UnsafeMutableRawPointer?) -> Int32 {
  -1
}
