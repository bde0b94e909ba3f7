import SwiftProtobuf
import XDS

/// TLS contexts of listeners and clusters, and the secrets that they name.
enum TLSReader {
  static func upstream(_ socket: EnvoyTransportSocket, _ path: String) throws(ResourceError) -> TLSPlan {
    let path = "\(path).typed_config"
    let context: EnvoyUpstreamTlsContext = try ResourceValue.unpack(socket.typedConfig, path)
    let common = context.commonTlsContext
    let names = try secrets(common, "\(path).common_tls_context")
    var upstream = UpstreamTLS(serverName: context.sni.isEmpty ? nil : context.sni)
    if case .combinedValidationContext(let combined) = common.validationContextType {
      upstream.identities = try identities(
        combined.defaultValidationContext,
        "\(path).common_tls_context.combined_validation_context.default_validation_context")
    }
    return TLSPlan(upstream: upstream, secrets: names)
  }

  static func downstream(_ socket: EnvoyTransportSocket, _ path: String) throws(ResourceError) -> SecretNames {
    let path = "\(path).typed_config"
    let context: EnvoyDownstreamTlsContext = try ResourceValue.unpack(socket.typedConfig, path)
    guard context.requireClientCertificate.value else {
      throw ResourceError("\(path).require_client_certificate", "must be true: TLS is mutual here")
    }
    if case .combinedValidationContext = context.commonTlsContext.validationContextType {
      throw ResourceError(
        "\(path).common_tls_context.combined_validation_context", "is not supported: who may connect is RBAC's matter")
    }
    return try secrets(context.commonTlsContext, "\(path).common_tls_context")
  }

  private static func secrets(_ common: EnvoyCommonTlsContext, _ path: String) throws(ResourceError) -> SecretNames {
    // TLS 1.3 is all there is, so every range that contains it will do.
    guard [.tlsAuto, .tlsv13].contains(common.tlsParams.tlsMaximumProtocolVersion) else {
      throw ResourceError("\(path).tls_params.tls_maximum_protocol_version", "leaves TLS 1.3 out")
    }
    let known = Set(MeshProtocol.allCases.map(\.rawValue) + ["http/1.1"])
    for (index, name) in common.alpnProtocols.enumerated() where !known.contains(name) {
      throw ResourceError("\(path).alpn_protocols[\(index)]", "\(name.prefix(100)) is not supported")
    }
    guard common.tlsCertificateSdsSecretConfigs.count == 1 else {
      throw ResourceError("\(path).tls_certificate_sds_secret_configs", "must name one certificate")
    }
    let identity = try secret(
      common.tlsCertificateSdsSecretConfigs[0], "\(path).tls_certificate_sds_secret_configs[0]")
    switch common.validationContextType {
    case .validationContextSdsSecretConfig(let config):
      let roots = try secret(config, "\(path).validation_context_sds_secret_config")
      return SecretNames(identity: identity, roots: roots)
    case .combinedValidationContext(let combined):
      let place = "\(path).combined_validation_context.validation_context_sds_secret_config"
      return SecretNames(identity: identity, roots: try secret(combined.validationContextSdsSecretConfig, place))
    case nil: throw ResourceError(path, "names no trusted roots")
    }
  }

  private static func secret(_ config: EnvoySdsSecretConfig, _ path: String) throws(ResourceError) -> String {
    try aggregated(config.sdsConfig, "\(path).sds_config")
    return try ResourceValue.name(config.name, "\(path).name")
  }

  /// Everything comes by the one stream.
  static func aggregated(_ source: EnvoyConfigSource, _ path: String) throws(ResourceError) {
    guard case .ads = source.configSourceSpecifier else { throw ResourceError(path, "must be ads") }
  }

  private static func identities(_ context: EnvoyCertificateValidationContext, _ path: String) throws(ResourceError)
    -> Set<String>?
  {
    if context.hasTrustedCa { throw ResourceError("\(path).trusted_ca", "is not supported beside a secret") }
    var identities: Set<String> = []
    for (index, matcher) in context.matchTypedSubjectAltNames.enumerated() {
      let place = "\(path).match_typed_subject_alt_names[\(index)]"
      guard matcher.sanType == .uri else { throw ResourceError("\(place).san_type", "must be URI") }
      guard case .exact(let identity) = matcher.matcher.matchPattern else {
        throw ResourceError("\(place).matcher", "must be exact")
      }
      identities.insert(identity)
    }
    return identities.isEmpty ? nil : identities
  }

  // MARK: Secrets

  static func secret(_ secret: EnvoySecret) throws(ResourceError) -> SecretPlan {
    switch secret.type {
    case .tlsCertificate(let certificate):
      return .identity(
        chain: try bytes(certificate.certificateChain, "tls_certificate.certificate_chain"),
        privateKey: try bytes(certificate.privateKey, "tls_certificate.private_key"))
    case .validationContext(let context):
      guard context.matchTypedSubjectAltNames.isEmpty else {
        throw ResourceError("validation_context.match_typed_subject_alt_names", "is not supported in a secret")
      }
      return .roots(try bytes(context.trustedCa, "validation_context.trusted_ca"))
    case nil: throw ResourceError("", "is neither a tls_certificate nor a validation_context")
    }
  }

  private static func bytes(_ source: EnvoyDataSource, _ path: String) throws(ResourceError) -> [UInt8] {
    let bytes: [UInt8] =
      switch source.specifier {
      case .inlineBytes(let data): Array(data)
      case .inlineString(let text): Array(text.utf8)
      case .filename, nil: []
      }
    guard !bytes.isEmpty else { throw ResourceError(path, "is empty") }
    return bytes
  }
}
