/// Retries are a share of the requests under way, so that an outage is not answered with a multiple of its load.
struct RetryBudget {
  private(set) var retrying = 0
  /// Retries that are always allowed: without them a quiet sidecar could never retry.
  static let minimum = 3

  mutating func begin(percent: Double, requestsUnderWay: Int) -> Bool {
    let allowed = max(RetryBudget.minimum, Int(Double(requestsUnderWay) * max(0, min(percent, 100)) / 100))
    guard retrying < allowed else { return false }
    retrying += 1
    return true
  }

  mutating func end() { retrying = max(0, retrying - 1) }

  /// Milliseconds to wait before the given retry (1: the first): full jitter over a doubling range.
  static func backoff(_ base: UInt64, retry: Int, _ random: inout some RandomNumberGenerator) -> UInt64 {
    let limit = base << UInt64(min(max(retry - 1, 0), 10))
    return limit == 0 ? 0 : UInt64.random(in: 0...min(limit, base * 10), using: &random)
  }
}
