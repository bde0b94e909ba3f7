internal import Controller
internal import Foundation
internal import Hummingbird
internal import NorthboundAPI

/// The endpoints, each a line: what it reads from the request, what it asks the controller.
struct APIRoutes: Sendable {
  let controller: LabController

  /// Largest body a request may have, in bytes.
  static let bodyLimit = 1 << 20
  /// Longest wait of a long poll, in milliseconds.
  static let longestWait: Int64 = 3_600_000

  func router() -> Router<BasicRequestContext> {
    let router = Router(context: BasicRequestContext.self)
    router.add(middleware: ErrorMiddleware())
    addLab(to: router)
    addNodes(to: router)
    addActions(to: router)
    return router
  }

  /// "GET /v1/status", every endpoint once, as openapi.yaml writes the paths.
  var endpoints: Set<String> { Set(router().routes.map { "\($0.method.rawValue) \($0.path)" }) }

  private func addLab(to router: Router<BasicRequestContext>) {
    router.get("/v1/status") { _, _ in try await json(controller.status()) }
    router.get("/v1/topology") { _, _ in try await json(controller.topology()) }
    router.get("/v1/progress") { request, _ in
      let seen = try request.number("seen") ?? 0
      let wait = try request.number("wait-ms", most: 60_000) ?? 1000
      return try await json(controller.progress(seen: UInt64(seen), waitMilliseconds: wait))
    }
    router.get("/v1/converged") { request, _ in
      let timeout = try request.number("timeout-ms", most: Self.longestWait) ?? 0
      return try await json(controller.converged(timeoutMilliseconds: timeout))
    }
    router.get("/v1/events") { request, _ in
      let since = try request.number("since") ?? 0
      let wait = try request.number("wait-ms", most: 60_000) ?? 0
      return try await json(controller.events(since: UInt64(since), waitMilliseconds: wait))
    }
    router.get("/v1/capture-points") { request, _ in
      try await json(controller.capturePoints(request.texts("select")))
    }
  }

  private func addNodes(to router: Router<BasicRequestContext>) {
    router.get("/v1/nodes/:node/routes") { request, context in
      try await json(controller.routes(of: context.node, prefix: request.text("prefix")))
    }
    router.get("/v1/nodes/:node/bgp") { request, context in
      let limit = try request.number("limit", most: 100_000) ?? 1000
      let offset = try request.number("offset", most: Int64(UInt32.max)) ?? 0
      return try await json(
        controller.bgp(
          of: context.node, prefix: request.text("prefix"), neighbor: request.text("neighbor"), limit: UInt32(limit),
          offset: UInt32(offset)))
    }
    router.get("/v1/nodes/:node/neighbors") { _, context in
      try await json(controller.neighbors(of: context.node))
    }
    router.get("/v1/nodes/:node/links") { _, context in try await json(controller.links(of: context.node)) }
    router.get("/v1/nodes/:node/explain") { request, context in
      guard let prefix = request.text("prefix") else {
        throw APIError(code: "invalid", message: "prefix is missing: a prefix or an address")
      }
      return try await json(controller.explain(node: context.node, prefix: prefix))
    }
    router.post("/v1/nodes/:node/exec") { request, context in
      try await json(controller.exec(request.body(ExecCommand.self), in: context.node))
    }
  }

  private func addActions(to router: Router<BasicRequestContext>) {
    router.post("/v1/trace") { request, _ in
      try await json(controller.trace(request.body(TraceQuery.self)))
    }
    router.post("/v1/checks/no-transit") { request, _ in
      try await json(controller.noTransit(request.body(NoTransitQuery.self)))
    }
    router.post("/v1/faults") { request, _ in
      try await controller.fault(request.body(FaultCommand.self))
      return try json(Done())
    }
    router.post("/v1/mend") { _, _ in
      try await controller.mend()
      return try json(Done())
    }
    router.post("/v1/stop") { _, _ in
      try await controller.stop()
      return try json(Done())
    }
  }
}

extension Request {
  /// One value of the query, percent-decoded; nil when absent.
  fileprivate func text(_ name: String) -> String? { texts(name).first }

  fileprivate func texts(_ name: String) -> [String] {
    uri.queryParameters.filter { $0.key == name[...] }.map { String($0.value) }
  }

  /// A whole number from 0 to `most`; nil when absent.
  fileprivate func number(_ name: String, most: Int64 = .max) throws -> Int64? {
    guard let text = text(name) else { return nil }
    guard let number = Int64(text), (0...most).contains(number) else {
      throw APIError(code: "invalid", message: "\(name) is \(text), expected a number from 0 to \(most)")
    }
    return number
  }

  fileprivate func body<Body: Decodable>(_ type: Body.Type) async throws -> Body {
    let buffer = try await body.collect(upTo: APIRoutes.bodyLimit)
    do {
      return try JSONDecoder().decode(type, from: Data(buffer.readableBytesView))
    } catch let error as DecodingError {
      throw APIError(code: "invalid", message: "the body is no \(type): \(error.place)")
    }
  }
}

extension BasicRequestContext {
  fileprivate var node: String { parameters.get("node") ?? "" }
}

extension DecodingError {
  /// What is wrong where, without the decoder's own wording.
  fileprivate var place: String {
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
  fileprivate var path: String { codingPath.map(\.stringValue).joined(separator: ".") }
}
