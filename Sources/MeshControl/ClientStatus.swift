internal import Mesh

/// What one client has been sent and has said to it, for `mesh status`.
public struct ClientStatus: Sendable, Equatable {
  public struct TypeStatus: Sendable, Equatable {
    public var type: ResourceType
    /// The generation of the model that was sent last; empty: nothing yet.
    public var sent: String
    /// The generation that the client took last.
    public var acknowledged: String
    /// CLOCK_REALTIME, nanoseconds; 0: never.
    public var sentAt: UInt64
    public var acknowledgedAt: UInt64
    /// Why the client refused what was sent last; nil when it did not.
    public var refusal: String?
    /// How often the client has refused something on this stream.
    public var refusals: Int
    /// Resources that it holds.
    public var resources: Int
  }

  public enum State: Sendable, Equatable {
    case current
    /// Something is on its way.
    case pending
    /// It keeps what it had: the reasons are in `types`.
    case refused
  }

  public var pod: String
  /// How the client calls itself, e.g. `envoy`, `gRPC C-core`.
  public var agent: String
  public var state: State
  public var types: [TypeStatus]
}

/// How far a change has come.
public struct ChangeOutcome: Sendable, Equatable {
  /// Of the model.
  public var generation: UInt64
  /// Clients that have acknowledged all of it.
  public var current: Int
  /// Clients that refused part of it, with type and reason; they keep what they had.
  public var refused: [Refusal]
  /// Pods whose clients had not answered when the time was over.
  public var lagging: [String]
  /// Pods with a sidecar that is not connected.
  public var absent: [String]
  /// From the change to the last answer, nanoseconds.
  public var duration: UInt64

  public struct Refusal: Sendable, Equatable {
    public var pod: String
    public var type: ResourceType
    public var reason: String
  }

  /// Whether every sidecar of the mesh works with it.
  public var isLive: Bool { refused.isEmpty && lagging.isEmpty && absent.isEmpty }
}

/// Where one client stands, in short.
public enum ClientCondition: Sendable, Equatable {
  /// It has acknowledged the newest version of every type.
  case current
  /// Something is on its way, or it has not asked for everything yet.
  case pending
  /// It keeps what it had. `RDS: REASON`.
  case refused(String)

  init(_ stream: AggregatedStream, _ dialect: Dialect, isPending: Bool) {
    if let (type, reason) = stream.refusals.first {
      self = .refused("\(type.shortName): \(reason)")
    } else if isPending {
      self = .pending
    } else {
      // A proxy that has no listeners yet is about to ask for them.
      let hasListeners = stream.subscriptions[.listener].map { !$0.acknowledgedVersion.isEmpty } ?? false
      self = dialect == .sidecar && !hasListeners ? .pending : .current
    }
  }
}

/// Of every client that is connected.
struct ClientConditions {
  private var streams: [UInt64: (pod: String, condition: ClientCondition)] = [:]

  /// - Parameter condition: nil: it has gone.
  /// - Returns: whether that changes anything.
  mutating func note(_ condition: ClientCondition?, stream: UInt64, pod: String) -> Bool {
    guard streams[stream]?.condition != condition else { return false }
    streams[stream] = condition.map { (pod, $0) }
    return true
  }

  /// A pod's worst: a refusal, then what is under way.
  var byPod: [String: ClientCondition] {
    var result: [String: ClientCondition] = [:]
    for (pod, condition) in streams.values {
      switch (result[pod], condition) {
      case (nil, _), (.current, _), (.pending, .refused): result[pod] = condition
      default: break
      }
    }
    return result
  }
}
