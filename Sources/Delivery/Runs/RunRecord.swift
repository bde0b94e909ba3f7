/// One run of a pipeline as the store has it.
public struct RunRecord: Sendable, Equatable {
  public enum State: String, Codable, Sendable {
    case queued, running, waiting
    /// Its process ended in the middle, or it was told to stop there: `resume` goes on.
    case interrupted
    case released, stopped
    case rolledBack = "rolled-back"
    case cancelled

    public var isOver: Bool {
      switch self {
      case .released, .stopped, .rolledBack, .cancelled: true
      case .queued, .running, .waiting, .interrupted: false
      }
    }
  }

  public enum Kind: String, Codable, Sendable { case delivery, rollback }

  public var number: Int
  public var kind: Kind
  /// The pipeline file as it was.
  public var text: String
  public var file: String
  /// Where the command was given: `repository` and what notices write are relative to it.
  public var directory: String
  public var ref: String
  public var startedBy: String
  public var state: State
  public var reason: String?
  /// 3 where the environment is to blame, 1 for everything else that is no release.
  public var exit: Int32?
  /// Milliseconds since 1970.
  public var startedAt: Int64
  public var endedAt: Int64?
  public var facts: RunFacts
}

public struct StageRecord: Sendable, Equatable {
  public enum State: String, Codable, Sendable { case running, done, failed, interrupted, skipped }

  public var stage: Stage
  public var state: State
  /// Starts at 1; counts resumptions and repetitions.
  public var attempt: Int
  /// Milliseconds since 1970.
  public var startedAt: Int64
  public var seconds: Double?
  public var reason: String?
  /// Absolute.
  public var log: String
  /// Absolute paths, image references, commit ids.
  public var artifacts: [String]
}

/// One notice and whether it arrived.
public struct NoticeRecord: Sendable, Equatable {
  public var event: String
  public var target: String
  public var delivered: Bool
  public var attempts: Int
  public var error: String?
  /// Milliseconds since 1970.
  public var at: Int64
}
