internal import Controller
internal import Foundation
internal import Hummingbird
internal import NorthboundAPI

/// The endpoints, each a line: what it reads from the request, what it asks the controller.
struct APIRoutes: Sendable {
  let controller: LabController
  /// Of this listener alone.
  var limits = RateLimits()
  /// What a request must bear; nil: whoever could open the socket may.
  var token: String?

  /// Largest body a request may have, in bytes; a CHANGE may hold a node's 10,000 rules.
  static let bodyLimit = 1 << 20
  static let changeLimit = 8 << 20
  /// Longest wait of a long poll, in milliseconds.
  static let longestWait: Int64 = 3_600_000

  func router() -> Router<BasicRequestContext> {
    let router = Router(context: BasicRequestContext.self)
    router.add(middleware: ErrorMiddleware())
    // First, so that nobody without the token can use up what its bearers are allowed.
    if let token { router.add(middleware: BearerToken(token)) }
    router.add(middleware: limits)
    addLab(to: router)
    addNodes(to: router)
    addPacketFunctions(to: router)
    addActions(to: router)
    addChanges(to: router)
    addTraffic(to: router)
    addMesh(to: router)
    addMeshTap(to: router)
    addStreams(to: router)
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
    router.post("/v1/nodes/:node/image") { request, context in
      try await json(controller.setImage(request.body(ImageRequest.self), of: context.node))
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
    router.post("/v1/check") { request, _ in
      try await json(controller.check(request.body(CheckQuery.self)))
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
