// How often the API may be asked: for each listener, all its connections together, a token bucket for every request, and
// a smaller one for those that alter the lab. What is over is answered 429 at once, so that a client gone wild costs
// the controller a few microseconds a request and never the lab its attention. Long polls count once.
//
// Listeners share nothing: whoever floods the TCP port leaves the unix socket what it had, and there those without the
// token have a bucket of their own (BearerToken), which those with it never draw from.

internal import Hummingbird
internal import NorthboundAPI
internal import Synchronization

final class RateLimits: RouterMiddleware, Sendable {
  typealias Context = BasicRequestContext

  /// Requests per second, and how many may come at once.
  struct Rate: Sendable {
    var perSecond: Double
    var burst: Double
  }

  static let everything = Rate(perSecond: 500, burst: 1000)
  static let changing = Rate(perSecond: 50, burst: 200)
  /// Of requests without the right token.
  static let unauthorized = Rate(perSecond: 20, burst: 50)

  /// Paths whose POST alters the lab; the rest asks or sends packets of its own.
  private static let changingPaths: Set<String> = [
    "/v1/apply", "/v1/confirm", "/v1/rollback", "/v1/drift/repair", "/v1/faults", "/v1/mend", "/v1/stop",
  ]

  private let buckets: Mutex<(everything: TokenBucket, changing: TokenBucket)>

  init(everything: Rate = RateLimits.everything, changing: Rate = RateLimits.changing) {
    buckets = Mutex((TokenBucket(everything, now: .now), TokenBucket(changing, now: .now)))
  }

  func handle(
    _ request: Request, context: BasicRequestContext, next: (Request, BasicRequestContext) async throws -> Response
  ) async throws -> Response {
    let changes = request.method == .post && Self.changingPaths.contains(request.uri.path)
    let wait = buckets.withLock { buckets in
      buckets.everything.take(now: .now) ?? (changes ? buckets.changing.take(now: .now) : nil)
    }
    guard let wait else { return try await next(request, context) }
    return try Self.refusal(wait: wait)
  }

  /// - Parameter wait: in seconds.
  static func refusal(wait: Double) throws -> Response {
    let seconds = max(1, Int(wait.rounded(.up)))
    var response = try json(
      APIError(code: "rate-limited", message: "too many requests; try again in \(seconds) s"),
      status: .tooManyRequests)
    response.headers[.retryAfter] = "\(seconds)"
    return response
  }
}

/// Tokens flow in at a steady rate up to a burst; a request takes one. Time is an argument.
struct TokenBucket: Sendable {
  private let rate: RateLimits.Rate
  private var tokens: Double
  private var filledAt: ContinuousClock.Instant

  init(_ rate: RateLimits.Rate, now: ContinuousClock.Instant) {
    self.rate = rate
    tokens = rate.burst
    filledAt = now
  }

  /// nil: taken. Otherwise how many seconds until there is one again.
  mutating func take(now: ContinuousClock.Instant) -> Double? {
    let passed = (now - filledAt) / .seconds(1)
    tokens = min(rate.burst, tokens + max(0, passed) * rate.perSecond)
    filledAt = now
    guard tokens >= 1 else { return (1 - tokens) / rate.perSecond }
    tokens -= 1
    return nil
  }
}
