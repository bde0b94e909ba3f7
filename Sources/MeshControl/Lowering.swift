// A model → the resources of the xDS v3 API. Sidecars of ours and Envoy get the same ones; proxyless gRPC, whose
// dialect is smaller, gets its own listeners, routes and clusters. One file per kind of resource; here is what they
// share. Pure: equal models give equal bytes.
internal import Mesh
internal import NetTypes
internal import SwiftProtobuf
internal import XDS

/// Which part of xDS a client speaks.
enum Dialect: Sendable, Hashable {
  /// Envoy's: listeners that catch connections, everything behind them. Our own sidecar speaks it too.
  case sidecar
  /// gRFC A27 and its successors: api_listener, routes, clusters, endpoints; security is not configured by xDS here.
  case proxyless
}

struct Lowering {
  let model: MeshModel
  private let podsByService: [String: [MeshPod]]

  init(_ model: MeshModel) {
    self.model = model
    podsByService = Dictionary(grouping: model.pods.filter { $0.service != nil }, by: { $0.service ?? "" })
  }

  func pods(of cluster: MeshCluster) -> [MeshPod] {
    let all = podsByService[cluster.service] ?? []
    return cluster.version == nil ? all : all.filter { $0.version == cluster.version }
  }

  /// Names of what no service can be called: a colon is not possible in the name of a node.
  enum Name {
    static let outboundListener = "outbound:15001"
    static let inboundListener = "inbound:15006"
    static let outboundPassthrough = "outbound:passthrough"
    static let inboundPassthrough = "inbound:passthrough"
    static func inboundCluster(_ port: UInt16) -> String { "inbound:\(port)" }
    static let identity = "identity"
    static let roots = "roots"
  }

  func identity(_ account: String) -> String { "spiffe://\(model.trustDomain)/ns/default/sa/\(account)" }

  /// Everything comes by the one aggregated stream.
  static var aggregated: EnvoyConfigSource {
    var source = EnvoyConfigSource()
    source.ads = EnvoyAggregatedConfigSource()
    source.resourceApiVersion = .v3
    return source
  }

  static func address(_ address: IPAddress, _ port: UInt16) -> EnvoyAddress {
    var socket = EnvoySocketAddress()
    socket.address = address.description
    socket.portValue = UInt32(port)
    var result = EnvoyAddress()
    result.socketAddress = socket
    return result
  }

  static func percent(perMillion: UInt32) -> EnvoyFractionalPercent {
    var percent = EnvoyFractionalPercent()
    percent.numerator = perMillion
    percent.denominator = .million
    return percent
  }

  // MARK: TLS

  /// The ALPN names of each protocol: ours first, the registered one for everyone else.
  static func applicationProtocols(_ protocol: ServiceProtocol) -> [String] {
    switch `protocol` {
    case .http: ["netloom-http/1.1", "http/1.1"]
    case .http2, .grpc: ["h2"]
    case .tcp: ["netloom-tcp"]
    }
  }

  private static func secret(_ name: String) -> EnvoySdsSecretConfig {
    var config = EnvoySdsSecretConfig()
    config.name = name
    config.sdsConfig = aggregated
    return config
  }

  private func commonTLS(_ protocol: ServiceProtocol) -> EnvoyCommonTlsContext {
    var common = EnvoyCommonTlsContext()
    common.tlsParams.tlsMinimumProtocolVersion = .tlsv13
    common.tlsParams.tlsMaximumProtocolVersion = .tlsv13
    common.tlsCertificateSdsSecretConfigs = [Self.secret(Name.identity)]
    common.alpnProtocols = Self.applicationProtocols(`protocol`)
    return common
  }

  /// A client's side: its own certificate, and the one identity that the service's endpoints may have.
  func upstreamTLS(_ service: MeshService) -> EnvoyTransportSocket {
    var matcher = EnvoySubjectAltNameMatcher()
    matcher.sanType = .uri
    matcher.matcher.exact = identity(service.name)
    var combined = EnvoyCommonTlsContext.CombinedCertificateValidationContext()
    combined.defaultValidationContext.matchTypedSubjectAltNames = [matcher]
    combined.validationContextSdsSecretConfig = Self.secret(Name.roots)
    var context = EnvoyUpstreamTlsContext()
    context.commonTlsContext = commonTLS(service.protocol)
    context.commonTlsContext.combinedValidationContext = combined
    return Self.transportSocket(context.packed)
  }

  /// A server's side: whoever has a certificate of the lab may connect; who may do what is the RBAC filters' matter.
  func downstreamTLS(_ service: MeshService) -> EnvoyTransportSocket {
    var context = EnvoyDownstreamTlsContext()
    context.commonTlsContext = commonTLS(service.protocol)
    context.commonTlsContext.validationContextSdsSecretConfig = Self.secret(Name.roots)
    context.requireClientCertificate = true
    return Self.transportSocket(context.packed)
  }

  private static func transportSocket(_ context: Google_Protobuf_Any) -> EnvoyTransportSocket {
    var socket = EnvoyTransportSocket()
    socket.name = "envoy.transport_sockets.tls"
    socket.typedConfig = context
    return socket
  }
}

extension Google_Protobuf_UInt32Value {
  init(_ value: UInt32) {
    self.init()
    self.value = value
  }
}

extension Google_Protobuf_BoolValue {
  init(_ value: Bool) {
    self.init()
    self.value = value
  }
}
