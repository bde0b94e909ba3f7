internal import NorthboundAPI
internal import Topology

extension SessionStep {
  /// All sessions with the neighbor must be in the state; with `NODE:IFACE` only the one on that link.
  /// `localInterface`: this node's end of the link to the far interface.
  func judge(_ status: Status, localInterface: String?) -> Outcome {
    let sessions = status.sessions.filter {
      $0.node == node && $0.neighbor == neighbor
        && (neighborInterface == nil || ($0.interface != nil && $0.interface == localInterface))
    }
    let name = neighborInterface.map { "\(neighbor):\($0)" } ?? neighbor
    let expected = state ?? .established
    guard !sessions.isEmpty else {
      return .failed([Mismatch("session \(node) – \(name)", expected: expected.rawValue, found: "no such session")])
    }
    let wrong = sessions.filter { $0.state != expected.rawValue }
    if wrong.isEmpty { return .held }
    return .failed(
      wrong.map { session in
        // Of an established session the last error is that of an earlier connection.
        let isUp = session.state == SessionStep.State.established.rawValue
        let reason = isUp ? "" : session.lastError.map { " (\($0))" } ?? ""
        return Mismatch("session \(node) – \(name)", expected: expected.rawValue, found: session.state + reason)
      })
  }
}
