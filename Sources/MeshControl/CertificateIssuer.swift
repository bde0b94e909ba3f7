// The certificates of sidecars, as the secrets `identity` and `roots`. A pod gets one when its sidecar first connects,
// and another at half of its lifetime, so that a control plane that is away for less than that is missed by nobody.
internal import FoundationEssentials
internal import Mesh
internal import TLS
internal import XDS

/// A name that cannot be part of a SPIFFE identity.
struct IdentityError: Error {
  let account: String
}

struct CertificateIssuer {
  private struct Issued {
    let account: String
    let secrets: [EnvoySecret]
    let renewAt: Int64
  }

  private let authority: CertificateAuthority
  private let lifetime: Int64
  private var issued: [String: Issued] = [:]

  /// - Parameter lifetime: of each certificate, seconds.
  init(_ authority: CertificateAuthority, lifetime: Int64) {
    self.authority = authority
    self.lifetime = max(lifetime, 2)
  }

  /// What the pod's sidecar shall hold now.
  /// - Parameter now: seconds since 1970.
  /// - Returns: nil when it holds that already.
  mutating func secrets(for pod: MeshPod, now: Int64) throws -> [EnvoySecret]? {
    if let found = issued[pod.name], found.account == pod.account, found.renewAt > now { return nil }
    guard let identity = SPIFFEID(trustDomain: authority.trustDomain, serviceAccount: pod.account) else {
      throw IdentityError(account: pod.account)
    }
    let certificate = try authority.issue(identity: identity, lifetime: lifetime, now: now)
    let secrets = [identitySecret(certificate), roots]
    issued[pod.name] = Issued(account: pod.account, secrets: secrets, renewAt: now + lifetime / 2)
    return secrets
  }

  /// Forgets what nobody uses: a pod that connects again gets a new certificate.
  mutating func keep(only pods: Set<String>) { issued = issued.filter { pods.contains($0.key) } }

  /// Seconds since 1970 of the next renewal; nil when nothing is issued.
  var nextRenewal: Int64? { issued.values.map(\.renewAt).min() }

  private func identitySecret(_ certificate: IssuedCertificate) -> EnvoySecret {
    var secret = EnvoySecret()
    secret.name = Lowering.Name.identity
    secret.tlsCertificate.certificateChain.inlineBytes = Data(certificate.chain)
    secret.tlsCertificate.privateKey.inlineBytes = Data(certificate.privateKey)
    return secret
  }

  private var roots: EnvoySecret {
    var secret = EnvoySecret()
    secret.name = Lowering.Name.roots
    secret.validationContext.trustedCa.inlineBytes = Data(authority.certificate)
    return secret
  }
}
