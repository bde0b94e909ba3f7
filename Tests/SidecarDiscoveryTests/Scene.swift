import EventLoop
import Glibc
import Mesh
import MeshControl
import NetTypes
import TLS
import Testing

/// A mesh on loopback addresses of its own: one service of two pods, one client, and the application of both pods.
///
///   test ─► 127.A.B.1 (sidecar of client-1) ═► 127.A.B.11 or .12 (sidecar of web-a, web-b) ─► 127.0.0.1 (origin)
final class Scene: Sendable {
  let origin: Origin
  let path: String
  let net: String
  let authority: CertificateAuthority

  init() throws {
    origin = Origin()
    let (high, low) = (Int.random(in: 1...250), Int.random(in: 0...255))
    net = "127.\(high).\(low)"
    path = "/tmp/netloom-discovery-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).sock"
    authority = try CertificateAuthority.make(trustDomain: "lab", now: Int64(time(nil)))
  }

  deinit { unlink(path) }

  func address(_ host: Int) -> IPAddress { IPAddress("\(net).\(host)") ?? .v4(IPv4Address(rawValue: 0)) }

  func model(_ mutualTLS: MutualTLS = .strict, isOpaque: Bool = false) -> MeshModel {
    var model = MeshModel(trustDomain: "lab", mutualTLS: mutualTLS)
    model.services = [
      MeshService(
        name: "web", addresses: [address(1)], port: origin.port, targetPort: origin.port,
        protocol: isOpaque ? .tcp : .http)
    ]
    model.pods = [
      MeshPod(
        name: "web-a", addresses: [address(11)], autonomousSystem: ASNumber(65001), service: "web", version: "v1"),
      MeshPod(
        name: "web-b", addresses: [address(12)], autonomousSystem: ASNumber(65001), service: "web", version: "v2"),
      MeshPod(name: "client-1", addresses: [address(13)], autonomousSystem: ASNumber(65001)),
    ]
    return model
  }

  /// - Parameter lifetime: of certificates, seconds.
  func server(_ model: MeshModel, lifetime: Int64 = 86_400) throws -> XDSServer {
    let server = try XDSServer(model, certificates: CertificatePolicy(authority: authority, lifetime: lifetime))
    try server.listen(unix: path)
    return server
  }

  /// The three sidecars.
  func pods() throws -> [RunningPod] {
    try [("web-a", 11), ("web-b", 12), ("client-1", 13)].map { name, host in
      try RunningPod(name, path, inbound: address(host), isClient: name == "client-1")
    }
  }

  /// As the client's application.
  func connect() throws -> Peer { try Peer.connect("\(net).1", origin.port) }
}
