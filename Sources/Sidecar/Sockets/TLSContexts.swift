// The TLS contexts of one set of certificates, shared by all workers. A change of certificates is a new value; running
// connections keep the one that they began with.
import TLS

/// What sidecars agree on by ALPN.
enum MeshProtocol: String, CaseIterable, Sendable {
  case tcp = "netloom-tcp"
  case http1 = "netloom-http/1.1"
  case http2 = "h2"

  /// What a client of a port may speak; whoever offers only others is refused in the handshake (no_application_protocol),
  /// whoever offers nothing is taken at the port's word.
  static func names(for port: ApplicationProtocol) -> [String] {
    switch port {
    case .tcp: [tcp.rawValue]
    case .http: [http1.rawValue, "http/1.1", http2.rawValue]
    case .http2, .grpc: [http2.rawValue, http1.rawValue]
    }
  }
}

final class TLSContexts: Sendable {
  let certificates: Certificates
  private let servers: [ApplicationProtocol: TLSContext]
  private let clients: [MeshProtocol: TLSContext]
  /// The SPIFFE ID of the own certificate; empty without one.
  let identity: String

  /// - Parameter keys: who reads key logs; nothing of them is kept.
  init(_ certificates: Certificates, keys: FeedHub) throws(TLSSetupError) {
    self.certificates = certificates
    let keyLog: @Sendable (String) -> Void = { line in if keys.isActive { keys.offer(line + "\n") } }
    var servers: [ApplicationProtocol: TLSContext] = [:]
    for port in [ApplicationProtocol.tcp, .http, .http2, .grpc] {
      servers[port] = try TLSContext(
        role: .server, certificateChain: certificates.chain, privateKey: certificates.privateKey,
        trustedRoots: certificates.trustedRoots, alpn: MeshProtocol.names(for: port),
        requiresKeyUsage: certificates.requiresKeyUsage, keyLog: keyLog)
    }
    self.servers = servers
    identity = servers[.tcp]?.identity ?? ""
    var clients: [MeshProtocol: TLSContext] = [:]
    for name in MeshProtocol.allCases {
      clients[name] = try TLSContext(
        role: .client, certificateChain: certificates.chain, privateKey: certificates.privateKey,
        trustedRoots: certificates.trustedRoots, alpn: [name.rawValue],
        requiresKeyUsage: certificates.requiresKeyUsage, keyLog: keyLog)
    }
    self.clients = clients
  }

  func client(_ name: MeshProtocol) -> TLSContext? { clients[name] }

  func server(_ port: ApplicationProtocol) -> TLSContext? { servers[port] }
}
