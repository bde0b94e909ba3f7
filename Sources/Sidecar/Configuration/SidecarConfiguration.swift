// What a sidecar does, as plain values: what it listens on, which services it knows and where their pods are, what it
// lets in. A configuration replaces the one before it as a whole; requests under way end under the one that they began
// with.
//
//  application ─► listener (outbound) ─► service ─► route ─► cluster ─► endpoint ─► network
//  network ─► listener (inbound) ─► inbound port: mTLS, authorization, rate limit ─► application

public struct SidecarConfiguration: Sendable, Equatable {
  /// Named in logs, metrics and refusals.
  public var version = ""
  /// The pod's name.
  public var pod = ""
  public var listeners: [Listener] = []
  public var services: [Service] = []
  public var clusters: [Cluster] = []
  public var inbound: [InboundPort] = []
  /// Nil where nothing speaks TLS.
  public var certificates: Certificates?
  /// SO_MARK of the sidecar's own connections, by which interception leaves them alone; 0: none. Setting it takes
  /// CAP_NET_ADMIN.
  public var mark: UInt32 = 0
  /// SO_MARK of connections to the pod's program under the address of a client (transparent listeners).
  public var transparentMark: UInt32 = 0
  /// What becomes of captured connections to addresses that are no service's.
  public var passesUnknown = true
  /// What becomes of captured connections to ports of the pod that are not in `inbound`.
  public var passesUnknownInbound = true
  public var limits = ConnectionLimits()
  public var accessLog = AccessLogging.off

  public init() {}

  public enum AccessLogging: Sendable, Equatable { case off, standardOutput }
}

/// How long a client may take, and how many there may be.
public struct ConnectionLimits: Sendable, Equatable {
  /// Milliseconds from the first byte of a request to the end of its head, and of a TLS handshake.
  public var head: UInt64 = 10_000
  /// Milliseconds between two requests, and without a byte within one.
  public var idle: UInt64 = 60_000
  /// Milliseconds without a byte either way after which a TCP connection ends; 0: never.
  public var tcpIdle: UInt64 = 3_600_000
  /// Connections of all clients to one worker; beyond it new ones wait in the kernel.
  public var connections = 16384
  /// Milliseconds for which input is dropped after the last byte that a client gets, so that it gets to read it.
  public var linger: UInt64 = 2000
  /// Milliseconds that requests under way have after `drain`.
  public var drain: UInt64 = 30_000

  public init() {}
}

public struct Listener: Sendable, Hashable {
  public enum Purpose: Sendable, Hashable {
    /// Redirected connections of the pod's own processes; where to is the kernel's original destination.
    case outboundCapture
    /// Redirected connections from elsewhere.
    case inboundCapture
    /// Every connection is for this service.
    case outbound(service: String)
    /// Every connection is for this inbound port.
    case inbound(port: UInt16)
  }

  public var address: SocketAddress
  public var purpose: Purpose
  /// Of `inboundCapture`: connections come with both addresses as the client wrote them (TPROXY), and the program gets
  /// them from the client's address. Takes CAP_NET_ADMIN, as `transparentMark` does.
  public var isTransparent: Bool

  public init(_ address: SocketAddress, _ purpose: Purpose, isTransparent: Bool = false) {
    self.address = address
    self.purpose = purpose
    self.isTransparent = isTransparent
  }
}

/// What is spoken on a port; declared, never guessed.
public enum ApplicationProtocol: String, Sendable { case tcp, http, http2, grpc }

public struct Service: Sendable, Equatable {
  public var name: String
  /// Virtual addresses and ports by which captured connections are recognised.
  public var addresses: [SocketAddress]
  public var applicationProtocol: ApplicationProtocol
  /// In order: the first that matches is taken. For TCP the first one's backends.
  public var routes: [RouteRule]

  public init(
    _ name: String, addresses: [SocketAddress] = [], _ applicationProtocol: ApplicationProtocol, routes: [RouteRule]
  ) {
    self.name = name
    self.addresses = addresses
    self.applicationProtocol = applicationProtocol
    self.routes = routes
  }
}

/// A port of the pod that others reach.
public struct InboundPort: Sendable, Equatable {
  public enum MutualTLS: Sendable { case strict, permissive, off }

  /// The service that it belongs to, for metrics; may be empty.
  public var service: String
  /// The port of captured connections.
  public var port: UInt16
  /// Where the application listens; nil: where the connection was addressed to.
  public var target: SocketAddress?
  /// Where nothing listens on `target`, the address that the connection was addressed to is tried, with `target`'s port.
  public var fallsBackToDestination = false
  public var applicationProtocol: ApplicationProtocol
  public var mutualTLS: MutualTLS
  /// SPIFFE identities that may connect; nil: everybody that mutual TLS lets in.
  public var allowed: Set<String>?
  public var rateLimit: RateLimit?

  public init(
    port: UInt16, service: String = "", target: SocketAddress? = nil, _ applicationProtocol: ApplicationProtocol,
    mutualTLS: MutualTLS = .off, allowed: Set<String>? = nil, rateLimit: RateLimit? = nil
  ) {
    self.port = port
    self.service = service
    self.target = target
    self.applicationProtocol = applicationProtocol
    self.mutualTLS = mutualTLS
    self.allowed = allowed
    self.rateLimit = rateLimit
  }
}

/// Requests (for TCP: connections) a second for the whole sidecar; each worker has its share.
public struct RateLimit: Sendable, Equatable {
  public var perSecond: Double
  public var burst: Int

  public init(perSecond: Double, burst: Int) {
    self.perSecond = perSecond
    self.burst = burst
  }
}

/// PEM. New certificates come as a new configuration; connections keep those that they began with.
public struct Certificates: Sendable, Equatable {
  public var chain: [UInt8]
  public var privateKey: [UInt8]
  public var trustedRoots: [UInt8]
  /// Peers' certificates must say what their keys are for (X.509-SVID, section 4.3).
  public var requiresKeyUsage = true

  public init(chain: [UInt8], privateKey: [UInt8], trustedRoots: [UInt8]) {
    self.chain = chain
    self.privateKey = privateKey
    self.trustedRoots = trustedRoots
  }
}
