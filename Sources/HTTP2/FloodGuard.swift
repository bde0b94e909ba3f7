/// Allows a burst, and so many per second after it.
struct TokenBucket {
  private let burst: Int
  private let nanosecondsPerToken: UInt64
  private var tokens: Int
  private var filled: UInt64 = 0

  init(burst: Int, perSecond: Int) {
    self.burst = max(burst, 0)
    nanosecondsPerToken = max(1, 1_000_000_000 / UInt64(max(perSecond, 1)))
    tokens = self.burst
  }

  /// - Parameter now: nanoseconds of a clock that does not go back.
  /// - Returns: whether there was a token.
  mutating func take(now: UInt64) -> Bool {
    refill(now)
    if tokens == 0 { return false }
    tokens -= 1
    return true
  }

  private mutating func refill(_ now: UInt64) {
    guard now > filled else { return }
    let fresh = (now - filled) / nanosecondsPerToken
    guard fresh > 0 else { return }
    tokens = fresh >= UInt64(burst - tokens) ? burst : tokens + Int(fresh)
    filled = tokens == burst ? now : filled + fresh * nanosecondsPerToken
  }
}

/// Counts what a peer can send cheaply and we answer dearly: cancelled streams (CVE-2023-44487, and by way of errors
/// CVE-2025-8671), PING and SETTINGS whose answers nobody reads (CVE-2019-9512, -9515), frames that do nothing
/// (CVE-2019-9513, -9518), window updates that grant next to nothing (CVE-2019-9511, -9517).
struct FloodGuard {
  private var resets: TokenBucket
  private var idleFrames: TokenBucket
  private let maxUnanswered: Int
  private var unanswered = 0
  private let windowUpdateBurst: Int
  private var windowUpdates = 0
  private static let updatesPerFrame = 10

  init(_ settings: HTTP2Settings) {
    resets = TokenBucket(burst: settings.resetBurst, perSecond: settings.resetsPerSecond)
    idleFrames = TokenBucket(burst: settings.idleFrameBurst, perSecond: settings.idleFramesPerSecond)
    maxUnanswered = settings.maxUnansweredControl
    windowUpdateBurst = settings.windowUpdateBurst
  }

  /// A stream was cancelled by the peer or for an error of its. Returns a reason to end the connection, or nil.
  mutating func reset(now: UInt64) -> String? {
    resets.take(now: now) ? nil : "too many cancelled streams"
  }

  /// A frame that does nothing arrived.
  mutating func idleFrame(now: UInt64) -> String? {
    idleFrames.take(now: now) ? nil : "too many frames that do nothing"
  }

  /// A frame arrived that must be acknowledged.
  mutating func mustAnswer() -> String? {
    unanswered += 1
    return unanswered > maxUnanswered ? "too many unanswered PING and SETTINGS" : nil
  }

  /// A WINDOW_UPDATE arrived.
  /// - Parameter sentFrames: HEADERS and DATA that we have sent on the connection so far; each may be answered by a few.
  mutating func windowUpdate(sentFrames: Int) -> String? {
    windowUpdates += 1
    let allowed = windowUpdateBurst + Self.updatesPerFrame * sentFrames
    return windowUpdates > allowed ? "too many window updates" : nil
  }

  mutating func answered() { unanswered = max(0, unanswered - 1) }
}
