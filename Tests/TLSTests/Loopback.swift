import Glibc
import TLS
import Testing

/// Both ends of a connection of this module's, over a socket pair, in one thread.
final class Loopback {
  let descriptors: [Int32]
  let client: TLSConnection
  let server: TLSConnection

  /// - Parameter bufferBytes: how little the kernel may hold of what is under way; nil for its default.
  init(
    client clientContext: TLSContext, server serverContext: TLSContext, resuming: TLSSession? = nil,
    clientAuthorize: (@Sendable (SPIFFEID) -> Bool)? = nil, serverAuthorize: (@Sendable (SPIFFEID) -> Bool)? = nil,
    bufferBytes: Int32? = nil
  ) throws {
    var pair: [Int32] = [0, 0]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &pair) == 0)
    if var size = bufferBytes {
      for descriptor in pair {
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
      }
    }
    descriptors = pair
    client = try TLSConnection(
      clientContext, descriptor: pair[0], serverName: "web", resuming: resuming, authorize: clientAuthorize)
    server = try TLSConnection(serverContext, descriptor: pair[1], authorize: serverAuthorize)
  }

  deinit { for descriptor in descriptors { close(descriptor) } }

  /// Takes turns until both have an answer that is not "wants more".
  func handshake() -> (client: TLSProgress, server: TLSProgress) {
    var client = TLSProgress.wantsRead
    var server = TLSProgress.wantsRead
    for _ in 0..<20 {
      if client == .wantsRead || client == .wantsWrite { client = self.client.handshake() }
      if server == .wantsRead || server == .wantsWrite { server = self.server.handshake() }
    }
    return (client, server)
  }
}

/// An authority and contexts made from it.
struct MeshFixture {
  static let now = Int64(time(nil))
  let authority: CertificateAuthority

  init(trustDomain: String = "lab") throws {
    authority = try CertificateAuthority.make(trustDomain: trustDomain, now: Self.now)
  }

  func issue(_ account: String, lifetime: Int64 = 3600, now: Int64 = Self.now) throws -> IssuedCertificate {
    let id = try #require(SPIFFEID(trustDomain: authority.trustDomain, serviceAccount: account))
    return try authority.issue(identity: id, dnsNames: [account], lifetime: lifetime, now: now)
  }

  func context(
    _ role: TLSContext.Role, _ account: String, alpn: [String] = [],
    certificate: IssuedCertificate? = nil, roots: [UInt8]? = nil, verify: TLSContext.Verification = .peerRequired
  ) throws -> TLSContext {
    let certificate = try certificate ?? issue(account)
    return try TLSContext(
      role: role, certificateChain: certificate.chain, privateKey: certificate.privateKey,
      trustedRoots: roots ?? authority.certificate, alpn: alpn, verify: verify)
  }
}

extension TLSConnection {
  func write(_ text: String) -> TLSResult {
    var text = text
    return text.withUTF8 { write(UnsafeRawBufferPointer($0)) }
  }

  func read(_ room: Int = 65536) -> (TLSResult, [UInt8]) {
    var bytes = [UInt8](repeating: 0, count: room)
    let result = bytes.withUnsafeMutableBytes { read(into: $0) }
    if case .bytes(let count) = result { return (result, Array(bytes.prefix(count))) }
    return (result, [])
  }
}
