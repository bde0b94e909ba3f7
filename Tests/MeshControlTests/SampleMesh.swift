import Mesh
import NetTypes

@testable import MeshControl

/// A service of two versions in two autonomous systems, a client in the first of them, and an opaque service.
enum SampleMesh {
  static func address(_ text: String) -> IPAddress { IPAddress(text) ?? .v4(IPv4Address(rawValue: 0)) }

  static func model(
    _ mutualTLS: MutualTLS = .strict, protocol: ServiceProtocol = .http, clients: Int = 1
  ) -> MeshModel {
    var model = MeshModel(trustDomain: "lab", mutualTLS: mutualTLS)
    model.services = [
      MeshService(
        name: "web", addresses: [address("10.254.0.1")], port: 80, targetPort: 8080, protocol: `protocol`),
      MeshService(name: "db", addresses: [address("10.254.0.2")], port: 5432, targetPort: 5432),
    ]
    model.pods = [
      MeshPod(
        name: "web-a", addresses: [address("10.1.0.1")], autonomousSystem: ASNumber(65001), service: "web",
        version: "v1"),
      MeshPod(
        name: "web-b", addresses: [address("10.2.0.1")], autonomousSystem: ASNumber(65002), service: "web",
        version: "v2"),
      MeshPod(name: "db-1", addresses: [address("10.1.0.9")], autonomousSystem: ASNumber(65001), service: "db"),
    ]
    model.pods += (1...clients).map { number in
      MeshPod(
        name: "client-\(number)", addresses: [address("10.1.1.\(number)")], autonomousSystem: ASNumber(65001))
    }
    return model
  }
}
