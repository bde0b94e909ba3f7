public import NetTypes

/// `mesh:` of a lab (contract section 7).
public struct MeshSettings: Sendable, Equatable {
  public enum MutualTLS: String, Sendable, CaseIterable { case strict, permissive, off }

  public var mutualTLS: MutualTLS
  /// In the order of the file.
  public var services: [MeshService]
  public var authorizations: [MeshAuthorization]
  /// Manifests of HTTPRoute and GRPCRoute, in the order of the files and of the documents in them.
  public var routes: [Manifest]

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
}

/// Who may call a service.
public struct MeshAuthorization: Sendable, Equatable {
  public var to: String
  /// Services, or pods that belong to none.
  public var allowed: [String]
}

/// What a pod says of itself.
public struct PodSettings: Sendable, Equatable {
  public enum Sidecar: String, Sendable, CaseIterable { case netloom, envoy, none }

  public var service: String?
  public var version: String?
  public var sidecar: Sidecar
}

/// A YAML document of somebody else's making, with the place of everything in it.
public struct Manifest: Sendable, Equatable {
  public indirect enum Value: Sendable, Equatable {
    /// `plain`: written without quotes, so it may be a number, a boolean or null.
    case scalar(String, plain: Bool, Place)
    case list([Value], Place)
    case mapping([Entry], Place)
  }

  public struct Entry: Sendable, Equatable {
    public var key: String
    public var place: Place
    public var value: Value
  }

  public var root: Value
}
