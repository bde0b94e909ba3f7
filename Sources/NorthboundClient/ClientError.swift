/// Why a lab could not be asked. What the controller itself refuses arrives as `APIError` instead.
public enum ClientError: Error, Equatable, CustomStringConvertible {
  /// Nothing accepts connections on the socket, also not after waiting for a restart.
  case unreachable(socket: String, reason: String)
  /// The connection ended before the answer was whole: the controller died over the question.
  case interrupted(socket: String)
  /// No answer in time.
  case timedOut(path: String, after: Duration)
  /// The answer is not what the API promises.
  case malformed(path: String, reason: String)

  public var description: String {
    switch self {
    case .unreachable(let socket, let reason):
      "the lab's controller does not answer on \(socket) (\(reason)); see logs/controller.log beside it"
    case .interrupted(let socket):
      "the lab's controller ended while it was answering on \(socket); see logs/controller.log beside it"
    case .timedOut(let path, let limit):
      "the lab's controller did not answer \(path) within \(limit.components.seconds) s"
    case .malformed(let path, let reason):
      "the lab's controller answered \(path) with something else than expected: \(reason)"
    }
  }
}
