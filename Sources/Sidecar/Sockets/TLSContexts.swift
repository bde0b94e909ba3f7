// The TLS contexts of one set of certificates, shared by all workers. A change of certificates is a new value; running
// connections keep the one that they began with.
import TLS

/// What sidecars agree on by ALPN.
enum MeshProtocol: String, CaseIterable, Sendable {
  case tcp = "netloom-tcp"
  case http1 = "netloom-http/1.1"
  case http2 = "h2"
}

final class TLSContexts: Sendable {
  let certificates: Certificates
  let server: TLSContext
  private let clients: [MeshProtocol: TLSContext]

  /// - Parameter ticketKeys: the same for every context of a sidecar, so that a session outlives a rotation.
  init(_ certificates: Certificates, ticketKeys: [UInt8]) throws(TLSSetupError) {
    self.certificates = certificates
    server = try TLSContext(
      role: .server, certificateChain: certificates.chain, privateKey: certificates.privateKey,
      trustedRoots: certificates.trustedRoots, alpn: MeshProtocol.allCases.map(\.rawValue), ticketKeys: ticketKeys)
    var clients: [MeshProtocol: TLSContext] = [:]
    for name in MeshProtocol.allCases {
      clients[name] = try TLSContext(
        role: .client, certificateChain: certificates.chain, privateKey: certificates.privateKey,
        trustedRoots: certificates.trustedRoots, alpn: [name.rawValue])
    }
    self.clients = clients
  }

  /// The SPIFFE ID of the own certificate; empty without one.
  var identity: String { server.identity }

  func client(_ name: MeshProtocol) -> TLSContext { clients[name] ?? server }
}
