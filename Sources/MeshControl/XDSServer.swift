// The mesh's control plane: an xDS v3 aggregated discovery server on a thread of its own.
//
//   any thread                          the server's thread
//   apply, split, status ── letter ──►  XDSService ─ ResourceCatalog (model → resources)
//        ▲                                 │  │  └── CertificateIssuer (secrets)
//        └───── continuation ──────────────┘  │
//                                             └─ XDSConnection ─ DiscoveryStream ─ AggregatedStream (state machine)
//                                                  HTTP/2            gRPC
//
// Nothing is shared but the list of letters. An answer to `apply` comes when every client that is connected has
// acknowledged or refused the change, or when its time is over: the service looks after each ACK whether it was the
// last one that was missing.
public import EventLoop
internal import Glibc
public import Mesh
public import TLS

/// Why the control plane does not do what it was asked.
public enum MeshControlError: Error, Sendable, Equatable {
  /// The server has been stopped.
  case stopped
  case unknownService(String)
  case unknownVersion(service: String, version: String)
  /// No version has a weight above zero, or one has a weight below.
  case invalidWeights(service: String)
}

extension MeshModel {
  /// This model with a service's requests divided among its versions.
  public func splitting(_ service: String, _ weights: [String: Int]) throws(MeshControlError) -> MeshModel {
    guard self.service(service) != nil else { throw .unknownService(service) }
    let versions = versions(of: service)
    for version in weights.keys.sorted() where !versions.contains(version) {
      throw .unknownVersion(service: service, version: version)
    }
    guard weights.values.allSatisfy({ (0...1_000_000).contains($0) }), weights.values.contains(where: { $0 > 0 }) else {
      throw .invalidWeights(service: service)
    }
    var model = self
    model.splits[service] = weights
    return model
  }
}

/// How certificates are made.
public struct CertificatePolicy: Sendable {
  public var authority: CertificateAuthority
  /// Of each certificate, seconds; it is renewed at half of it.
  public var lifetime: Int64

  public init(authority: CertificateAuthority, lifetime: Int64 = 86_400) {
    self.authority = authority
    self.lifetime = lifetime
  }
}

public final class XDSServer: Sendable {
  public typealias Observer = @Sendable ([String: ClientCondition]) -> Void

  private let thread: ServerThread<XDSLetter>

  /// Starts the server; it listens nowhere yet.
  /// - Parameters:
  ///   - certificates: nil: sidecars get none, which only a mesh without mutual TLS can do with.
  ///   - admit: which pod a peer may say it is. Called on the server's thread; it must not wait for anything.
  ///   - observe: where every connected client stands, whenever that changes; the same holds for it. What `apply` has
  ///     brought about is told before `apply` returns.
  public init(
    _ model: MeshModel, certificates: CertificatePolicy? = nil,
    admit: @escaping @Sendable (XDSPeer) -> XDSAdmission = { _ in .anyPod }, observe: @escaping Observer = { _ in }
  ) throws(SystemError) {
    thread = try ServerThread<XDSLetter>.start(
      { loop in
        let service = XDSService(loop, model, certificates, admit, observe)
        return { letter in service.handle(letter) }
      }, abandon: { letter in letter.abandon() })
  }

  deinit { thread.post(.stop) }

  /// Listens on a unix socket; the file is made here, its directory must be there.
  public func listen(unix path: String, mode: UInt32 = 0o666) throws(SystemError) {
    listen(adopting: try UnixSocket.listen(path, mode: mode), named: path)
  }

  /// Listens on a socket that the caller has bound and set to listen, in whatever namespace.
  /// - Parameter name: what `XDSPeer.listener` says of its connections.
  public func listen(adopting socket: consuming FileDescriptor, named name: String) {
    thread.post(.listen(OwnedDescriptor(socket), name))
  }

  /// Puts a new model in place of the old and waits until every connected client has acknowledged or refused it.
  /// - Parameter timeout: nanoseconds after which the answer comes all the same.
  /// - Throws: `.stopped`.
  public func apply(_ model: MeshModel, timeout: UInt64 = 10_000_000_000) async throws -> ChangeOutcome {
    try await withCheckedThrowingContinuation { continuation in
      thread.post(.apply(model, timeout: timeout) { continuation.resume(with: $0) })
    }
  }

  /// The same, from where nothing may wait: models are put in place in the order of the calls, and the answer comes on the
  /// server's thread.
  public func apply(
    _ model: MeshModel, timeout: UInt64 = 10_000_000_000,
    then reply: @escaping @Sendable (Result<ChangeOutcome, any Error>) -> Void
  ) {
    thread.post(.apply(model, timeout: timeout, reply))
  }

  /// Divides a service's requests among its versions, in place of the weights that its routes have, and waits as
  /// `apply` does. The next model that is applied brings its own.
  /// - Throws: `MeshControlError`.
  public func split(_ service: String, _ weights: [String: Int], timeout: UInt64 = 10_000_000_000) async throws
    -> ChangeOutcome
  {
    try await withCheckedThrowingContinuation { continuation in
      thread.post(.split(service, weights, timeout: timeout) { continuation.resume(with: $0) })
    }
  }

  /// Waits until every client that is connected has all of the present model, as `apply` does, without changing it.
  public func settled(timeout: UInt64 = 10_000_000_000) async throws -> ChangeOutcome {
    try await withCheckedThrowingContinuation { continuation in
      thread.post(.settle(timeout: timeout) { continuation.resume(with: $0) })
    }
  }

  /// Waits until the clients of these pods are connected and hold everything; as `settled` otherwise.
  public func ready(_ pods: Set<String>, timeout: UInt64 = 10_000_000_000) async throws -> ChangeOutcome {
    try await withCheckedThrowingContinuation { continuation in
      thread.post(.ready(pods, timeout: timeout) { continuation.resume(with: $0) })
    }
  }

  /// Every client that is connected, by the name of its pod. Empty once stopped.
  public func status() async -> [ClientStatus] {
    await withCheckedContinuation { continuation in
      thread.post(.status { continuation.resume(returning: $0) })
    }
  }

  /// Closes every connection and listener, and returns when that is done.
  public func stop() {
    thread.post(.stop)
    thread.join()
  }
}

/// What the server's thread is asked to do.
enum XDSLetter: Sendable {
  typealias Reply = @Sendable (Result<ChangeOutcome, any Error>) -> Void

  case listen(OwnedDescriptor, String)
  case apply(MeshModel, timeout: UInt64, Reply)
  case split(String, [String: Int], timeout: UInt64, Reply)
  case settle(timeout: UInt64, Reply)
  case ready(Set<String>, timeout: UInt64, Reply)
  case status(@Sendable ([ClientStatus]) -> Void)
  case stop

  func abandon() {
    switch self {
    case .apply(_, timeout: _, let reply), .split(_, _, timeout: _, let reply), .settle(timeout: _, let reply),
      .ready(_, timeout: _, let reply):
      reply(.failure(MeshControlError.stopped))
    case .status(let reply): reply([])
    case .listen, .stop: break
    }
  }
}

/// A descriptor on its way to another thread; closed when the last one lets go of it.
final class OwnedDescriptor: Sendable {
  let rawValue: Int32
  init(_ descriptor: consuming FileDescriptor) { rawValue = descriptor.release() }
  deinit { _ = close(rawValue) }
}
