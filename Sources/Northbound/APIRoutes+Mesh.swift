internal import Controller
internal import Hummingbird
internal import NorthboundAPI

/// The service mesh.
extension APIRoutes {
  func addMesh(to router: Router<BasicRequestContext>) {
    router.get("/v1/mesh") { _, _ in try await json(controller.meshStatus()) }
    router.get("/v1/mesh/edges") { _, _ in try await json(controller.meshEdges()) }
    router.post("/v1/mesh/split") { request, _ in
      try await json(controller.meshSplit(request.body(MeshSplitRequest.self)))
    }
    router.post("/v1/mesh/explain") { request, _ in
      try await json(controller.meshExplain(request.body(MeshExplainRequest.self)))
    }
  }
}
