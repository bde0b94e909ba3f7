import EventLoop
import Foundation
import Testing

@testable import Sidecar

/// `ExportTraceServiceRequest` as a collector reads it.
private struct Export: Decodable {
  struct Value: Decodable { var stringValue, intValue: String? }
  struct Attribute: Decodable {
    var key: String
    var value: Value
  }
  struct Status: Decodable { var code: Int? }
  struct Span: Decodable {
    var traceId, spanId, name, startTimeUnixNano, endTimeUnixNano: String
    var parentSpanId: String?
    var kind: Int
    var attributes: [Attribute]
    var status: Status
    func attribute(_ key: String) -> String? {
      attributes.first { $0.key == key }.flatMap { $0.value.stringValue ?? $0.value.intValue }
    }
  }
  struct Scope: Decodable { var spans: [Span] }
  struct Resource: Decodable { var attributes: [Attribute] }
  struct ResourceSpans: Decodable {
    var resource: Resource
    var scopeSpans: [Scope]
  }
  var resourceSpans: [ResourceSpans]
  var spans: [Span] { resourceSpans.flatMap(\.scopeSpans).flatMap(\.spans) }
}

/// Collects bodies.
private final class Collected: @unchecked Sendable {  // proof: the lock
  private let lock = NSCondition()
  private var bodies: [(head: String, body: String)] = []
  func add(_ head: String, _ body: String) {
    lock.lock()
    bodies.append((head, body))
    lock.broadcast()
    lock.unlock()
  }
  /// The first, within ten seconds.
  func first() -> (head: String, body: String)? {
    lock.lock()
    defer { lock.unlock() }
    let limit = Date().addingTimeInterval(10)
    while bodies.isEmpty { if !lock.wait(until: limit) { return nil } }
    return bodies[0]
  }
}

@Suite struct SpanExportTests {
  /// Runs `body` on another thread, and the exporter's loop until it has come to an end with so many spans.
  private func exporting(
    _ spans: UInt64, of tracing: Tracing, _ sidecar: Sidecar, _ body: @escaping @Sendable () throws -> Void
  ) throws {
    let loop = try EventLoop()
    let exporter = try SpanExporter(loop, tracing, sidecar)
    exporter.onBatchEnd = { if tracing.counts.sent + tracing.counts.dropped >= spans { loop.stop() } }
    loop.after(EventLoop.milliseconds(20_000)) { loop.stop() }
    let done = DispatchSemaphore(value: 0)
    Thread {
      do { try body() } catch { Issue.record(error) }
      done.signal()
    }.start()
    try loop.run()
    done.wait()
  }

  private func setup(_ tracing: Tracing, _ origin: UInt16) throws -> Running {
    var setup = Setup(.http, [Setup.cluster("web", origin)])
    setup.configuration.clusters[0].endpoints[0].version = "v2"
    let sidecar = try Sidecar(setup.configuration, tracing: tracing)
    return Running(sidecar: sidecar, port: try #require(sidecar.localAddress(of: setup.listener)?.port))
  }

  @Test("a collector gets a span of each sampled request, with the hop before as its parent")
  func export() throws {
    let collected = Collected()
    let collector = Origin.http { head, body in
      collected.add(head, body)
      return response("{}")
    }
    let origin = Origin.http { head, _ in response(Origin.field("traceparent", head) ?? "") }
    let tracing = try #require(Tracing("http://127.0.0.1:\(collector.port)"))
    let running = try setup(tracing, origin.port)
    try exporting(1, of: tracing, running.sidecar) {
      let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
      let passed = try running.get("/cart?x=1", parent).body
      // Not sampled by whoever began it: passed on and not recorded.
      let silent = try running.get("/no", "traceparent: 00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\n")
      #expect(silent.body.hasSuffix("-00"))
      let (head, body) = try #require(collected.first())
      #expect(head.hasPrefix("POST /v1/traces HTTP/1.1\r\n"))
      #expect(Origin.field("content-type", head) == "application/json")
      let export = try JSONDecoder().decode(Export.self, from: Data(body.utf8))
      #expect(export.spans.count == 1)
      let span = try #require(export.spans.first)
      #expect(passed == "00-\(span.traceId)-\(span.spanId)-01")
      #expect(span.traceId == "4bf92f3577b34da6a3ce929d0e0e4736" && span.parentSpanId == "00f067aa0ba902b7")
      #expect(span.kind == 3 && span.name == "GET web" && span.status.code == nil)
      #expect(span.attribute("url.path") == "/cart" && span.attribute("http.response.status_code") == "200")
      #expect(span.attribute("netloom.version") == "v2")
      let (start, end) = (try #require(UInt64(span.startTimeUnixNano)), try #require(UInt64(span.endTimeUnixNano)))
      #expect(start <= end && abs(Double(end) / 1e9 - Date().timeIntervalSince1970) < 60)
      let service = export.resourceSpans[0].resource.attributes.first { $0.key == "service.name" }
      #expect(service?.value.stringValue == "client-1")
    }
    #expect(running.metric("netloom_spans_total", "sent") == 1)
  }

  @Test("spans for a collector that is away are dropped and counted, and no request is held up")
  func away() throws {
    let origin = Origin.http { _, _ in response("ok") }
    let tracing = try #require(Tracing("http://127.0.0.1:1"))
    let running = try setup(tracing, origin.port)
    try exporting(3, of: tracing, running.sidecar) { () throws -> Void in
      for _ in 0..<3 { #expect(try running.get().status == 200) }
    }
    #expect(running.metric("netloom_spans_total", "dropped") == 3)
  }

  @Test("the queue is bounded; sampling decides about traces that begin here")
  func bounds() throws {
    let origin = Origin.http { _, _ in response("ok") }
    let none = try #require(Tracing("http://127.0.0.1:1", sampling: 0))
    let running = try setup(none, origin.port)
    for _ in 0..<5 { _ = try running.get() }
    #expect(none.waiting == 0)
    let span = Span(
      context: SpanContext(trace: "", span: "", parent: ""), kind: .client, start: 0, end: 0, method: "", path: "",
      service: "", version: "", status: 0, failed: false, endpoint: "", peer: "", refused: "", attempts: 0)
    for _ in 0..<5000 { none.add(span) }
    #expect(none.waiting == 4096)
    #expect(none.counts.dropped == 904)
  }

  @Test("collectors that cannot be", arguments: ["https://127.0.0.1:1", "http://collector:1", "http://127.0.0.1", ""])
  func refused(url: String) { #expect(Tracing(url) == nil) }
}
