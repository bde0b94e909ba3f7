internal import Foundation
internal import Hummingbird
internal import NorthboundAPI
internal import Synchronization

/// RFC 6750 section 2.1: `Authorization: Bearer TOKEN`, for listeners that anybody can reach.
final class BearerToken: RouterMiddleware {
  typealias Context = BasicRequestContext

  private let expected: [UInt8]
  private let refused: Mutex<TokenBucket>

  init(_ token: String, refusing rate: RateLimits.Rate = RateLimits.unauthorized) {
    expected = Array(token.utf8)
    refused = Mutex(TokenBucket(rate, now: .now))
  }

  func handle(
    _ request: Request, context: BasicRequestContext, next: (Request, BasicRequestContext) async throws -> Response
  ) async throws -> Response {
    if let given = request.headers[.authorization], isRight(given) { return try await next(request, context) }
    if let wait = refused.withLock({ $0.take(now: .now) }) { return try RateLimits.refusal(wait: wait) }
    var response = try json(
      APIError(
        code: "unauthorized", message: "the token in the lab's api.token is required: Authorization: Bearer TOKEN"),
      status: .unauthorized)
    response.headers[.wwwAuthenticate] = "Bearer"
    return response
  }

  private func isRight(_ header: String) -> Bool {
    let scheme = "bearer "
    guard header.prefix(scheme.count).lowercased() == scheme else { return false }
    return Self.areEqual(Array(header.dropFirst(scheme.count).utf8), expected)
  }

  /// Takes as long for any wrong token of the right length: where it differs is not told by the clock.
  static func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    guard a.count == b.count else { return false }
    return zip(a, b).reduce(0 as UInt8) { $0 | ($1.0 ^ $1.1) } == 0
  }
}

/// `api.token` in the run directory: 32 random bytes in hexadecimal, readable by its owner alone.
public enum APITokenFile {
  public struct Failure: Error, CustomStringConvertible {
    public var description: String
  }

  /// The lab's token; made where there is none, kept by a controller that was restarted.
  public static func token(path: String) throws -> String {
    if let known = try read(path) { return known }
    var generator = SystemRandomNumberGenerator()
    let digits = Array("0123456789abcdef")
    let token = String((0..<64).map { _ in digits[Int.random(in: 0..<16, using: &generator)] })
    // Written whole before it has its name, so that a crash leaves no half of one.
    let fresh = path + ".new"
    unlink(fresh)
    let file = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw Failure(description: "\(fresh): \(String(cString: strerror(errno)))") }
    defer { close(file) }
    let bytes = Array((token + "\n").utf8)
    guard write(file, bytes, bytes.count) == bytes.count, rename(fresh, path) == 0 else {
      throw Failure(description: "\(path): \(String(cString: strerror(errno)))")
    }
    return token
  }

  private static func read(_ path: String) throws -> String? {
    guard let bytes = FileManager.default.contents(atPath: path) else { return nil }
    let token = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    return token.utf8.count >= 32 ? token : nil
  }
}
