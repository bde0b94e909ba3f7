internal import Foundation
internal import Hummingbird
internal import NIOCore
internal import NorthboundAPI

/// 200 with a document. Keys are sorted, so that two answers can be compared as text.
func json(_ document: some Encodable) throws -> Response {
  try json(document, status: .ok)
}

func json(_ document: some Encodable, status: HTTPResponse.Status) throws -> Response {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  let body = ByteBuffer(bytes: try encoder.encode(document))
  return Response(status: status, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: body))
}

/// Makes every error an `APIError` document.
struct ErrorMiddleware<Context: RequestContext>: RouterMiddleware {
  func handle(
    _ request: Request, context: Context, next: (Request, Context) async throws -> Response
  ) async throws -> Response {
    do {
      return try await next(request, context)
    } catch let error as APIError {
      return try json(error, status: error.status)
    } catch let large as BodyTooLarge {
      let error = APIError(code: "invalid", message: "the body is larger than \(large.limit) bytes")
      return try json(error, status: .contentTooLarge)
    } catch let error as HTTPError {
      let code = error.status == .notFound ? "not-found" : error.status.kind == .clientError ? "invalid" : "internal"
      let text = error.status == .notFound ? "there is no \(request.method) \(request.uri.path)" : "\(error)"
      return try json(APIError(code: code, message: text), status: error.status)
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      return try json(APIError(code: "internal", message: "\(error)"), status: .internalServerError)
    }
  }
}

extension APIError {
  var status: HTTPResponse.Status {
    switch code {
    case "not-found": .notFound
    case "invalid": .badRequest
    case "invalid-file": .unprocessableContent
    case "conflict", "refused": .conflict
    case "timeout": .gatewayTimeout
    case "unavailable": .serviceUnavailable
    default: .internalServerError
    }
  }
}
