internal import Controller
internal import Hummingbird
internal import NorthboundAPI

/// What the lab should be, and where it is not.
extension APIRoutes {
  func addChanges(to router: Router<BasicRequestContext>) {
    router.post("/v1/plan") { request, _ in
      try await json(controller.plan(request.body(ChangeRequest.self, upTo: Self.changeLimit)))
    }
    router.post("/v1/apply") { request, _ in
      try await json(controller.apply(request.body(ChangeRequest.self, upTo: Self.changeLimit)))
    }
    router.post("/v1/confirm") { _, _ in try await json(controller.confirm()) }
    router.post("/v1/rollback") { request, _ in
      try await json(controller.rollback(request.optionalBody(RollbackRequest.self) ?? RollbackRequest()))
    }
    router.get("/v1/history") { request, _ in
      let limit = try request.number("limit", most: 10_000) ?? 100
      let offset = try request.number("offset", most: Int64(Int32.max)) ?? 0
      return try await json(controller.history(limit: Int(limit), offset: Int(offset)))
    }
    router.get("/v1/drift") { _, _ in try await json(controller.drift()) }
    router.post("/v1/drift/repair") { _, _ in try await json(controller.repair()) }
  }

  func addPacketFunctions(to router: Router<BasicRequestContext>) {
    router.get("/v1/nodes/:node/nat") { _, context in try await json(controller.nat(of: context.node)) }
    router.get("/v1/nodes/:node/filter") { _, context in try await json(controller.filter(of: context.node)) }
    router.get("/v1/nodes/:node/conntrack") { request, context in
      let limit = try request.number("limit", most: 10_000) ?? 1000
      let offset = try request.number("offset", most: Int64(UInt32.max)) ?? 0
      return try await json(
        controller.connections(of: context.node, limit: UInt32(limit), offset: UInt32(offset)))
    }
    router.get("/v1/nodes/:node/qos") { _, context in try await json(controller.qos(of: context.node)) }
    router.get("/v1/nodes/:node/flowspec") { _, context in try await json(controller.flowSpecs(of: context.node)) }
    router.post("/v1/rate") { request, _ in try await json(controller.rate(request.body(RateQuery.self))) }
    router.post("/v1/nat") { request, _ in try await json(controller.translation(request.body(NATQuery.self))) }
  }
}
