internal import Foundation
internal import Hummingbird
internal import NIOCore
internal import NorthboundAPI

/// The rest of the body is not read.
struct BodyTooLarge: Error {
  var limit: Int
}

extension Request {
  /// One value of the query, percent-decoded; nil when absent.
  func text(_ name: String) -> String? { texts(name).first }

  func texts(_ name: String) -> [String] {
    uri.queryParameters.filter { $0.key == name[...] }.map { String($0.value) }
  }

  /// A whole number from 0 to `most`; nil when absent.
  func number(_ name: String, most: Int64 = .max) throws -> Int64? {
    guard let text = text(name) else { return nil }
    guard let number = Int64(text), (0...most).contains(number) else {
      throw APIError(code: "invalid", message: "\(name) is \(text), expected a number from 0 to \(most)")
    }
    return number
  }

  /// The document in the body, of at most `limit` bytes.
  func body<Body: Decodable>(_ type: Body.Type, upTo limit: Int = APIRoutes.bodyLimit) async throws -> Body {
    try Self.decode(type, await bytes(upTo: limit))
  }

  /// The same; nil when the body is empty.
  func optionalBody<Body: Decodable>(_ type: Body.Type) async throws -> Body? {
    let bytes = try await bytes(upTo: APIRoutes.bodyLimit)
    return bytes.readableBytes == 0 ? nil : try Self.decode(type, bytes)
  }

  private func bytes(upTo limit: Int) async throws -> ByteBuffer {
    do {
      return try await body.collect(upTo: limit)
    } catch is NIOTooManyBytesError {
      throw BodyTooLarge(limit: limit)
    }
  }

  private static func decode<Body: Decodable>(_ type: Body.Type, _ bytes: ByteBuffer) throws -> Body {
    do {
      return try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
    } catch let error as DecodingError {
      throw APIError(code: "invalid", message: "the body is no \(type): \(error.place)")
    }
  }
}

extension BasicRequestContext {
  var node: String { parameters.get("node") ?? "" }
}

extension DecodingError {
  /// What is wrong where, without the decoder's own wording.
  var place: String {
    switch self {
    case .keyNotFound(let key, _): "\(key.stringValue) is missing"
    case .typeMismatch(let type, let context): "\(context.path) is no \(type)"
    case .valueNotFound(_, let context): "\(context.path) is null"
    case .dataCorrupted(let context): context.codingPath.isEmpty ? "not JSON" : "\(context.path) is malformed"
    @unknown default: "malformed"
    }
  }
}

extension DecodingError.Context {
  var path: String { codingPath.map(\.stringValue).joined(separator: ".") }
}
