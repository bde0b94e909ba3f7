internal import ControlProtocol
internal import EventLoop
internal import Foundation
internal import Mesh
internal import MeshControl
internal import TLS

/// The control plane of the lab's mesh as the controller holds it.
struct MeshPlane: Sendable {
  let server: XDSServer
  /// What the file says; health, costs and splits are laid over it.
  var declared: MeshModel
  /// What was applied last.
  var applied: MeshModel
  /// Models handed to the server of which not every sidecar has been heard.
  var underWay = 0
  /// The disturbance after which path costs were measured last.
  var measuredFor: LabController.Instant?

  /// Starts the server; it listens in the run directory.
  /// - Parameter applied: what to begin with.
  init(_ declared: MeshModel, _ applied: MeshModel, _ run: RunDirectory, observe: @escaping XDSServer.Observer) throws {
    self.declared = declared
    self.applied = applied
    // Also where nothing is encrypted: a change may ask for it.
    let certificates = CertificatePolicy(authority: try Self.authority(declared.trustDomain, run))
    let nodes = run.path + "/nodes/"
    server = try XDSServer(
      applied, certificates: certificates, admit: { peer in Self.admission(peer, nodes) }, observe: observe)
    try server.listen(unix: run.xdsSocket, mode: 0o600)
  }

  /// The agent of a pod binds its end below the pod's own directory.
  private static func admission(_ peer: XDSPeer, _ nodes: String) -> XDSAdmission {
    guard let path = peer.boundPath, path.hasPrefix(nodes) else {
      return .refused("connections come from a pod, by unix:/run/netloom/xds.sock or 127.0.0.1:15010 there")
    }
    return .pod(String(path.dropFirst(nodes.count).prefix { $0 != "/" }))
  }

  /// The root of the lab's identities, which outlives a controller: whoever trusts it goes on doing so.
  private static func authority(_ domain: String, _ run: RunDirectory) throws -> CertificateAuthority {
    let now = Int64(Date().timeIntervalSince1970)
    if let data = FileManager.default.contents(atPath: run.authority),
      let kept = try? JSONDecoder().decode(KeptAuthority.self, from: data),
      let authority = try? CertificateAuthority(
        certificate: Array(kept.certificate.utf8), privateKey: Array(kept.privateKey.utf8)),
      authority.trustDomain == domain, authority.notAfter > now
    {
      return authority
    }
    let authority = try CertificateAuthority.make(trustDomain: domain, now: now)
    let kept = KeptAuthority(
      certificate: String(decoding: authority.certificate, as: UTF8.self),
      privateKey: String(decoding: authority.privateKey, as: UTF8.self))
    try SecretFile.write(try JSONEncoder().encode(kept), to: run.authority)
    return authority
  }

  private struct KeptAuthority: Codable {
    var certificate: String
    var privateKey: String
  }
}

/// A file that nobody else may read, from its first byte on.
enum SecretFile {
  static func write(_ data: Data, to path: String) throws {
    let new = path + ".new"
    try? FileManager.default.removeItem(atPath: new)
    guard FileManager.default.createFile(atPath: new, contents: data, attributes: [.posixPermissions: 0o600]) else {
      throw CocoaError(.fileWriteUnknown)
    }
    guard rename(new, path) == 0 else { throw CocoaError(.fileWriteUnknown) }
  }
}
