import Foundation
import Testing

/// What is seen of a mesh from outside: taps, edges, keys of a capture, spans. The wire is seen at the router between.
@Suite(.serialized, .enabled(if: Command.isRoot)) struct MeshObservationTests {
  /// client ── edge ── bank-1, and a collector of spans beside them.
  private static func topology(_ bench: Bench) throws -> String {
    let collector = try bench.file(
      "collector.py",
      """
      import http.server
      class Handler(http.server.BaseHTTPRequestHandler):
          def do_POST(self):
              body = self.rfile.read(int(self.headers["Content-Length"]))
              with open("/run/spans.jsonl", "ab") as file: file.write(body + b"\\n")
              self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"{}")
      http.server.ThreadingHTTPServer(("", 4318), Handler).serve_forever()
      """)
    return """
      addressing: {ipv6: false}
      topology:
        nodes:
          client: {kind: pod, service: shop}
          edge: {kind: router, asn: 64500}
          bank-1: {kind: pod, service: bank, version: v1, cmd: ["python3 \(Command.checkout)/topologies/mesh/hello.py 8080"]}
          collector: {kind: host, cmd: ["python3 \(collector)"]}
        links:
          - {endpoints: ["client:eth1", "edge:eth1"], addresses: [[10.1.0.2/24], [10.1.0.1/24]]}
          - {endpoints: ["edge:eth2", "bank-1:eth1"], addresses: [[10.2.0.1/24], [10.2.0.2/24]]}
          - {endpoints: ["collector:eth1", "edge:eth3"], addresses: [[10.3.0.2/24], [10.3.0.1/24]]}
      mesh:
        mtls: strict
        tracing: {otlp: "http://collector:4318"}
        services:
          shop: {port: 8000, protocol: http}
          bank: {port: 80, target: 8080, protocol: http}
      """
  }

  private let bench: Bench
  private let lab: String

  init() throws {
    bench = try Bench()
    lab = "mo-\(getpid())-\(UInt32.random(in: 0..<65536))"
    _ = try bench.up(lab, try Self.topology(bench))
    // The program listens when it listens.
    #expect(try bench.eventually(20) { try ask("/").exit == 0 })
  }

  private func ask(_ path: String) throws -> Finished {
    try bench.netloom([
      "exec", "--lab", lab, "client", "--", "curl", "-sSf", "--max-time", "5", "-H", "x-secret: open-sesame",
      "http://bank\(path)",
    ])
  }

  /// Captures at the router while `body` runs.
  private func capture(_ file: String, _ options: [String], _ body: () throws -> Void) throws {
    let capture = Process()
    capture.executableURL = URL(fileURLWithPath: Command.netloom)
    capture.arguments = ["capture", "--lab", lab, "edge:eth2", "-w", file] + options
    let errors = Pipe()
    capture.standardError = errors
    try capture.run()
    var said = ""
    while !said.contains("capturing on") {
      let data = errors.fileHandleForReading.availableData
      try #require(!data.isEmpty, "\(said)")
      said += String(decoding: data, as: UTF8.self)
    }
    try body()
    capture.interrupt()
    capture.waitUntilExit()
    #expect(capture.terminationStatus == 0)
  }

  private func paths(_ file: String) throws -> [String] {
    let read = try Command.run(
      "tshark",
      [
        "-n", "-r", file, "-d", "tcp.port==8080,tls", "-d", "tls.port==8080,http", "-Y",
        "http.request && tcp.port == 8080",
        "-T", "fields",
        "-e", "http.request.uri",
      ])
    return read.output.split(separator: "\n").map(String.init)
  }

  @Test("tshark reads mutual TLS of a capture with keys, and nothing of one without")
  func keys() throws {
    let (open, closed) = ("\(bench.directory)/open.pcapng", "\(bench.directory)/closed.pcapng")
    try capture(closed, []) { () throws -> Void in #expect(try ask("/shut").exit == 0) }
    #expect(try paths(closed).isEmpty)
    let records = try Command.run(
      "tshark", ["-n", "-r", closed, "-d", "tcp.port==8080,tls", "-Y", "tls.record.content_type == 23"])
    #expect(!records.output.isEmpty, "the request is in it, as application data")
    #expect(try !Data(contentsOf: URL(fileURLWithPath: closed)).contains(sequence: "open-sesame"))
    try capture(open, ["--tls-keys"]) { () throws -> Void in
      #expect(try ask("/account").exit == 0)
      #expect(try ask("/again").exit == 0)
    }
    #expect(try paths(open) == ["/account", "/again"])
    #expect(try !Data(contentsOf: URL(fileURLWithPath: open)).contains(sequence: "open-sesame"))
    let mode = try FileManager.default.attributesOfItem(atPath: open)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    #expect(try Data(contentsOf: URL(fileURLWithPath: open)).contains(sequence: "CLIENT_TRAFFIC_SECRET_0"))
    #expect(try !Data(contentsOf: URL(fileURLWithPath: closed)).contains(sequence: "_TRAFFIC_SECRET_0"))
  }

  private struct Event: Decodable {
    var from, to, pod, version, method, path, client, server, trace, reporter: String?
    var status: Int?
  }

  @Test("a tap shows requests with both identities; edges count them; spans of both hops are one trace")
  func tapEdgesAndSpans() throws {
    let tap = Process()
    tap.executableURL = URL(fileURLWithPath: Command.netloom)
    tap.arguments = [
      "mesh", "tap", "--lab", lab, "client", "bank", "--path", "/seen", "--status", "2xx", "--count", "2", "-o", "json",
    ]
    let output = Pipe()
    tap.standardOutput = output
    try tap.run()
    #expect(
      try bench.eventually(20) {
        _ = try ask("/other")
        _ = try ask("/seen/1?a=b")
        return !tap.isRunning
      })
    let lines = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(
      separator: "\n")
    let events = try lines.map { try JSONDecoder().decode(Event.self, from: Data($0.utf8)) }
    #expect(events.count == 2 && tap.terminationStatus == 0)
    let event = try #require(events.first)
    #expect([event.from, event.to, event.pod, event.version] == ["client", "bank", "bank-1", "v1"])
    #expect(event.method == "GET" && event.path == "/seen/1?a=b" && event.status == 200 && event.reporter == "client")
    #expect(event.client == "spiffe://\(lab)/ns/default/sa/shop")
    #expect(event.server == "spiffe://\(lab)/ns/default/sa/bank")
    let edges = try bench.netloom(["mesh", "edges", "--lab", lab, "-o", "json"])
    let counted = try #require(JSONSerialization.jsonObject(with: Data(edges.output.utf8)) as? [[String: Any]])
    #expect(counted.count == 1, "\(edges.output)")
    #expect(["from", "to", "version"].map { counted[0][$0] as? String } == ["shop", "bank", "v1"])
    #expect(counted[0]["requests"] as? Int ?? 0 > 3)
    // A second after the first span a batch is sent.
    let trace = try #require(event.trace)
    var spans: [[String: Any]] = []
    #expect(
      try bench.eventually(20) {
        let text = try bench.netloom(["exec", "--lab", lab, "collector", "--", "cat", "/run/spans.jsonl"]).output
        spans = Self.spans(text).filter { $0["traceId"] as? String == trace }
        return spans.count == 2
      })
    let client = try #require(spans.first { $0["kind"] as? Int == 3 })
    let server = try #require(spans.first { $0["kind"] as? Int == 2 })
    #expect(client["parentSpanId"] == nil)
    #expect(server["parentSpanId"] as? String == client["spanId"] as? String)
  }

  private static func spans(_ text: String) -> [[String: Any]] {
    func list(_ value: Any, _ key: String) -> [[String: Any]] {
      (value as? [String: Any])?[key] as? [[String: Any]] ?? []
    }
    return text.split(separator: "\n").compactMap { try? JSONSerialization.jsonObject(with: Data($0.utf8)) }
      .flatMap { list($0, "resourceSpans") }.flatMap { list($0, "scopeSpans") }.flatMap { list($0, "spans") }
  }
}

extension Data {
  fileprivate func contains(sequence text: String) -> Bool { range(of: Data(text.utf8)) != nil }
}
