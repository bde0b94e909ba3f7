internal import Controller
internal import Foundation
internal import Hummingbird
internal import NIOCore
internal import NorthboundAPI

/// `GET /v1/mesh/tap` as server-sent events.
extension APIRoutes {
  func addMeshTap(to router: Router<BasicRequestContext>) {
    router.get("/v1/mesh/tap") { request, _ in
      let query = MeshTapQuery(
        from: request.text("from"), to: request.text("to"), path: request.text("path"),
        method: request.text("method"), status: request.text("status"))
      let items = try await controller.meshTap(query)
      let body = ResponseBody { writer in
        // At once, so that the client knows it is connected.
        try await writer.write(ByteBuffer(string: ": requests of the mesh\n\n"))
        for await item in items { try await writer.write(ByteBuffer(string: try Self.entry(item))) }
        try await writer.finish(nil)
      }
      return Response(
        status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
    }
  }

  private static func entry(_ item: MeshTapItem) throws -> String {
    switch item {
    case .request(let event): try entry("request", event)
    case .dropped(let loss): try entry("dropped", loss)
    case .absent(let absence): try entry("absent", absence)
    case .quiet: ": still there\n\n"
    }
  }

  private static func entry(_ kind: String, _ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return "event: \(kind)\ndata: \(String(decoding: try encoder.encode(value), as: UTF8.self))\n\n"
  }
}
