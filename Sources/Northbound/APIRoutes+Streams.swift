// What is read by programs that stay: server-sent events (WHATWG HTML section 9.2) and Prometheus' text format 0.0.4.

internal import Controller
internal import Foundation
internal import Hummingbird
internal import NIOCore
internal import NorthboundAPI

extension APIRoutes {
  /// A comment that often, so that both ends notice a connection that is gone.
  static let heartbeat: Int64 = 15_000

  func addStreams(to router: Router<BasicRequestContext>) {
    router.get("/v1/events/stream") { request, _ in
      let resumed = request.headers.first { $0.name.canonicalName == "last-event-id" }.flatMap { UInt64($0.value) }
      let since = try resumed ?? request.number("since").map(UInt64.init) ?? 0
      return eventStream(since: since)
    }
    router.get("/metrics") { _, _ in
      let text = await controller.metrics()
      return Response(
        status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
        body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
  }

  /// Ends when the client goes or the server is shut down.
  private func eventStream(since: UInt64) -> Response {
    let controller = controller
    let body = ResponseBody { writer in
      var last = since
      // At once, so that the client knows it is connected.
      try await writer.write(ByteBuffer(string: ": events of the lab\n\n"))
      while !Task.isCancelled {
        let events = await controller.events(since: last, waitMilliseconds: Self.heartbeat)
        var text = events.isEmpty ? ": still there\n\n" : ""
        for event in events {
          text += try Self.entry(event)
          last = event.number
        }
        try await writer.write(ByteBuffer(string: text))
      }
      try await writer.finish(nil)
    }
    return Response(
      status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
  }

  private static func entry(_ event: LabEvent) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // JSON has no raw line breaks: one data line is enough.
    let data = String(decoding: try encoder.encode(event), as: UTF8.self)
    return "id: \(event.number)\nevent: \(event.kind)\ndata: \(data)\n\n"
  }
}
