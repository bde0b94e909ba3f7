internal import COpenSSL
internal import EventLoop
internal import FoundationEssentials
internal import Glibc
internal import Topology

/// One POST of JSON, by curl(1): it knows TLS, proxies and name services as the rest of the machine does.
///
/// Sent again after a failure that may pass (no connection, no answer in time, 408, 429, 5xx), with pauses of 0.5 s that
/// double. Every attempt of a notice has the same `X-Netloom-Delivery`, so a receiver can tell a repetition.
struct Webhook {
  let address: String
  let secret: String?
  let retries: Int
  /// Seconds before the first repetition.
  var pause = 0.5
  /// Seconds for one attempt.
  var limit = 10

  struct Outcome: Equatable {
    var attempts: Int
    /// nil: it arrived.
    var error: String?
  }

  func post(_ body: String, event: String, delivery: String, _ shell: Shell, folder: String) async throws -> Outcome {
    let file = folder + "/notice.json"
    try SmallFile.write(file, body, mode: 0o600)
    var error = ""
    for attempt in 1...(retries + 1) {
      if attempt > 1 { try await Task.sleep(for: .seconds(min(30, pause * Double(1 << (attempt - 2))))) }
      let answer = try await once(body, file, event, delivery, shell)
      switch answer {
      case .arrived: return Outcome(attempts: attempt, error: nil)
      case .refused(let reason): return Outcome(attempts: attempt, error: reason)
      case .again(let reason): error = reason
      }
      shell.log?.line("attempt \(attempt): \(error)")
    }
    return Outcome(attempts: retries + 1, error: error)
  }

  private enum Answer {
    case arrived
    /// The receiver has said no; it will say so again.
    case refused(String)
    case again(String)
  }

  private func once(_ body: String, _ file: String, _ event: String, _ delivery: String, _ shell: Shell) async throws
    -> Answer
  {
    var options = [
      "silent", "show-error", "max-time = \(limit)", "connect-timeout = \(limit)", "request = POST",
      "url = \(Self.quoted(address))", "data-binary = \(Self.quoted("@" + file))", "output = /dev/null",
      "write-out = \"%{http_code}\"", "header = \"Content-Type: application/json\"", "header = \"User-Agent: netloom\"",
      "header = \(Self.quoted("X-Netloom-Event: \(event)"))",
      "header = \(Self.quoted("X-Netloom-Delivery: \(delivery)"))",
    ]
    if let secret {
      options.append("header = \"X-Netloom-Signature-256: sha256=\(Self.signature(of: body, secret))\"")
    }
    // Addresses may hold tokens: they are given on standard input, where ps does not show them.
    let ended = try await shell.run(
      ["curl", "--disable", "--config", "-"], input: options.joined(separator: "\n") + "\n", keeping: true,
      within: Double(limit) + 5)
    if ended.exit == 127 { throw StageFailure(.environment, "curl is not installed; run: apt-get install curl") }
    guard ended.exit == 0, let status = Int(ended.output) else { return .again(Self.reason(ended)) }
    switch status {
    case 200..<300: return .arrived
    case 408, 429, 500...: return .again("status \(status)")
    default: return .refused("status \(status)")
    }
  }

  /// The exit codes of curl that happen.
  private static func reason(_ ended: Shell.Ended) -> String {
    switch ended.exit {
    case 6: "the name does not resolve"
    case 7: "no connection"
    case 28: "no answer in time"
    case 35, 51, 58, 60: "TLS failed (curl \(ended.exit))"
    case 52, 56: "the connection was closed before an answer"
    default: ended.timedOut ? "no answer in time" : "curl ended with \(ended.exit)"
    }
  }

  /// As curl's config files want it.
  private static func quoted(_ text: String) -> String {
    "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
  }

  /// Lower-case hexadecimal HMAC-SHA256 (RFC 2104) of the body.
  static func signature(of body: String, _ secret: String) -> String {
    let key = Array(secret.utf8)
    let data = Array(body.utf8)
    var digest = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 0
    HMAC(EVP_sha256(), key, Int32(key.count), data, data.count, &digest, &length)
    return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
