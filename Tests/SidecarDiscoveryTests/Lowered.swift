import Foundation
import Glibc
import Mesh
import NetTypes
import SwiftProtobuf
import TLS
import XDS

@testable import MeshControl

/// The resources that the control plane makes of a model for one pod, and certificates for it.
struct Lowered {
  var clusters: [EnvoyCluster]
  var endpoints: [EnvoyClusterLoadAssignment]
  var listeners: [EnvoyListener]
  var routes: [EnvoyRouteConfiguration]
  var secrets: [EnvoySecret]

  init(_ model: MeshModel, pod name: String) throws {
    let lowering = Lowering(model)
    let pod = model.pods.first { $0.name == name }
    let service = pod?.service.flatMap { model.service($0) }
    clusters = lowering.clusters(.sidecar)
    if let service { clusters.append(lowering.inboundCluster(service)) }
    endpoints = lowering.endpoints(costs: model.pathCosts.row(of: name))
    if let pod {
      let own = lowering.endpoints(ofClustersWith: pod)
      endpoints = own + endpoints.filter { other in !own.contains { $0.clusterName == other.clusterName } }
    }
    listeners = [lowering.outboundListener(), lowering.inboundListener(service)].compactMap(\.self)
    routes = model.services.filter(\.protocol.isHTTP).map { lowering.routes($0, .sidecar) }
    secrets = try Lowered.secrets(pod?.account ?? name)
  }

  static func secrets(_ account: String) throws -> [EnvoySecret] {
    let now = Int64(time(nil))
    let authority = try CertificateAuthority.make(trustDomain: "lab", now: now)
    guard let identity = SPIFFEID(trustDomain: "lab", serviceAccount: account) else { return [] }
    let issued = try authority.issue(identity: identity, lifetime: 3600, now: now)
    var own = EnvoySecret()
    own.name = "identity"
    own.tlsCertificate.certificateChain.inlineBytes = Data(issued.chain)
    own.tlsCertificate.privateKey.inlineBytes = Data(issued.privateKey)
    var roots = EnvoySecret()
    roots.name = "roots"
    roots.validationContext.trustedCa.inlineBytes = Data(authority.certificate)
    return [own, roots]
  }

  // MARK: As they come

  static func pack(_ message: some Message) -> Google_Protobuf_Any {
    var any = Google_Protobuf_Any()
    any.typeURL = "type.googleapis.com/\(type(of: message).protoMessageName)"
    any.value = (try? message.serializedBytes() as Data) ?? Data()
    return any
  }

  var packedClusters: [Google_Protobuf_Any] { clusters.map(Self.pack) }
  var packedEndpoints: [Google_Protobuf_Any] { endpoints.map(Self.pack) }
  var packedListeners: [Google_Protobuf_Any] { listeners.map(Self.pack) }
  var packedRoutes: [Google_Protobuf_Any] { routes.map(Self.pack) }
  var packedSecrets: [Google_Protobuf_Any] { secrets.map(Self.pack) }
}

/// A mesh with something of everything.
enum Sample {
  static func permissive() -> MeshModel { model(.permissive) }
  static func withoutTLS() -> MeshModel { model(.off) }

  static func address(_ text: String) -> IPAddress { IPAddress(text) ?? .v4(IPv4Address(rawValue: 0)) }

  static func model(_ mutualTLS: MutualTLS = .strict) -> MeshModel {
    var model = MeshModel(trustDomain: "lab", mutualTLS: mutualTLS)
    let policy = ServicePolicy(
      balancing: .ringHash(header: nil),
      circuitBreaker: ServicePolicy.CircuitBreaker(connections: 10, pendingRequests: 20, requests: 30),
      outlierEjection: ServicePolicy.OutlierEjection(
        consecutiveErrors: 7, baseEjectionMilliseconds: 2500, maximumPercent: 40),
      fault: ServicePolicy.Fault(delayMilliseconds: 50, delayPercent: 10, abortStatus: 418, abortPercent: 2),
      rateLimit: 100)
    model.services = [
      MeshService(
        name: "web", addresses: [address("10.254.0.1"), address("2001:db8::1")], port: 80, targetPort: 8080,
        protocol: .http, policy: policy),
      MeshService(name: "db", addresses: [address("10.254.0.2")], port: 5432, targetPort: 5433),
    ]
    model.pods = [
      MeshPod(
        name: "web-a", addresses: [address("10.1.0.1")], autonomousSystem: ASNumber(65001), service: "web",
        version: "v1"),
      MeshPod(
        name: "web-b", addresses: [address("10.2.0.1")], autonomousSystem: ASNumber(65002), service: "web",
        version: "v2", health: .draining),
      MeshPod(name: "db-1", addresses: [address("10.1.0.9")], autonomousSystem: ASNumber(65001), service: "db"),
      MeshPod(name: "client-1", addresses: [address("10.1.1.1")], autonomousSystem: ASNumber(65001)),
    ]
    model.authorization = [AuthorizationRule(to: "db", allow: ["web"])]
    model.pathCosts["client-1", ASNumber(65001)] = 1
    model.pathCosts["client-1", ASNumber(65002)] = 3
    return model
  }
}
