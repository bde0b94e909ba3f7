internal import Controller
internal import Hummingbird
internal import NorthboundAPI

/// What crosses the lab: load of ours, and flows of anybody's.
extension APIRoutes {
  func addTraffic(to router: Router<BasicRequestContext>) {
    router.post("/v1/traffic") { request, _ in
      try await json(controller.startTraffic(request.body(TrafficQuery.self)))
    }
    router.get("/v1/traffic") { _, _ in try await json(controller.trafficStates()) }
    router.post("/v1/traffic/:id/stop") { _, context in
      guard let text = context.parameters.get("id"), let id = UInt64(text) else {
        throw APIError(code: "invalid", message: "the number of the traffic is none")
      }
      return try await json(controller.stopTraffic(id))
    }
    router.post("/v1/flows") { request, _ in try await json(controller.flows(request.body(FlowsQuery.self))) }
  }
}
