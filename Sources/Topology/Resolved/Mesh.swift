public import Mesh
public import NetTypes

/// `mesh:` of a lab (contract section 7).
public struct MeshSettings: Sendable, Equatable {
  public enum MutualTLS: String, Sendable, CaseIterable { case strict, permissive, off }

  public var mutualTLS: MutualTLS
  /// In the order of the file.
  public var services: [MeshService]
  public var authorizations: [MeshAuthorization]
  /// In the order of the files and of the documents in them.
  public var routes: [ManifestRoute]
  /// The files that `routes` came from, as they were read: path as `mesh.routes` writes it → text.
  public var manifests: [String: String]

  /// Where sidecars send spans; nil: nowhere.
  public var tracing: TracingSettings?

  public func service(_ name: String) -> MeshService? { services.first { $0.name == name } }
}

public struct MeshService: Sendable, Equatable {
  public enum ApplicationProtocol: String, Sendable, CaseIterable { case http, http2, grpc, tcp }

  public var name: String
  public var place: Place
  /// Virtual, one per family of the pools.
  public var addresses: [IPAddress]
  public var port: UInt16
  /// Where its pods listen.
  public var target: UInt16
  public var applicationProtocol: ApplicationProtocol
  /// Routers that originate `addresses`.
  public var announcedBy: [String]
  /// How its clients' sidecars treat it.
  public var policy = ServicePolicy()
  /// Version → weight; empty: its routes say, or all pods are alike.
  public var split: [String: Int] = [:]
  /// nil: its pods are well while their programs run.
  public var health: HealthCheck?
}

/// How a pod is asked whether it can serve: by a connection to the service's `target`, and by a GET where there is a path.
public struct HealthCheck: Sendable, Equatable {
  /// Any answer below 400 is a good one.
  public var path: String?
  public var intervalMilliseconds: UInt32
  public var timeoutMilliseconds: UInt32
  /// How many bad answers in a row take the pod out, and how many good ones bring it back.
  public var failures: UInt32
  public var successes: UInt32
}

/// A Gateway API HTTPRoute or GRPCRoute, read.
public struct ManifestRoute: Sendable, Equatable {
  public var route: MeshRoute
  public var place: Place
}

/// Who may call a service.
public struct MeshAuthorization: Sendable, Equatable {
  public var to: String
  /// Services, or pods that belong to none.
  public var allowed: [String]
}

public struct TracingSettings: Sendable, Equatable {
  /// The host is a node of the lab or an address.
  public var collector: CollectorURL
  /// Per cent of the traces that begin at a sidecar.
  public var sampling: Double
}

/// `http://HOST:PORT[/PATH]`
public struct CollectorURL: Sendable, Equatable {
  public var host: String
  public var port: UInt16
  /// With its slash; empty: the usual one.
  public var path: String

  /// Nil for another scheme, no port, or characters that no URL has.
  public init?(_ text: String) {
    let scheme = "http://"
    guard text.hasPrefix(scheme), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2C }) else { return nil }
    let rest = text.dropFirst(scheme.count)
    let authority = rest.prefix { $0 != "/" }
    guard let colon = authority.lastIndex(of: ":"), let port = UInt16(authority[authority.index(after: colon)...]),
      port > 0
    else { return nil }
    let host = authority[..<colon]
    let bare = host.hasPrefix("[") && host.hasSuffix("]") ? host.dropFirst().dropLast() : host
    guard !bare.isEmpty, !bare.contains("@"), bare.count == host.count || IPAddress(String(bare)) != nil else {
      return nil
    }
    self.host = String(bare)
    self.port = port
    path = String(rest[authority.endIndex...])
  }
}

/// What a pod says of itself.
public struct PodSettings: Sendable, Equatable {
  public enum Sidecar: String, Sendable, CaseIterable { case netloom, envoy, none }
  /// How what comes for the pod's service reaches its sidecar. `tproxy`: the program sees the client's address as its
  /// peer's; `redirect`: that of its sidecar.
  public enum Interception: String, Sendable, CaseIterable { case redirect, tproxy }

  public var service: String?
  public var version: String?
  public var sidecar: Sidecar
  public var interception: Interception = .redirect
}
