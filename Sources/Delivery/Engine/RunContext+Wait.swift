extension RunContext {
  /// Waits for somebody's word, at most until `expires` seconds after it was asked for.
  func awaitDecision(expires: Double?) async throws -> ApprovalFacts {
    if let decision = try store.decision(of: number) { return decision }
    try store.set(.waiting, of: number)
    let until = expires.map { Double(facts.approvalAsked ?? millisecondsNow()) + $0 * 1000 }
    report(.waiting(number, expiresIn: until.map { max(0, $0 - Double(millisecondsNow())) / 1000 }))
    while true {
      if let decision = try store.decision(of: number) {
        try store.set(.running, of: number)
        return decision
      }
      if let until, Double(millisecondsNow()) >= until {
        try store.set(.running, of: number)
        throw StageFailure(.stopped, "nobody approved it in time")
      }
      try await Task.sleep(for: .milliseconds(200))
    }
  }
}
