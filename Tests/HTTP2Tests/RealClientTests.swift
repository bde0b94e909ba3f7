import Foundation
import HTTP2
import Testing

/// curl, nghttp and h2load against a server made from HTTP2Session.
@Suite struct RealClientTests {
  private let server: LoopbackServer

  init() throws { server = try LoopbackServer() }

  private var url: String { "http://127.0.0.1:\(server.port)" }

  @Test func curlGetsItsBodyBack() throws {
    let body = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let sent = FileManager.default.temporaryDirectory.appendingPathComponent("netloom-h2-\(server.port)")
    let received = sent.appendingPathExtension("back")
    try Data(body).write(to: sent)
    defer {
      try? FileManager.default.removeItem(at: sent)
      try? FileManager.default.removeItem(at: received)
    }
    let result = try run(
      "curl",
      [
        "--http2-prior-knowledge", "-sS", "--max-time", "20", "-w", "%{http_version} %{http_code}", "-o", received.path,
        "--data-binary", "@\(sent.path)", url + "/echo",
      ])
    #expect(result.status == 0 && result.text == "2 200", "\(result.text)")
    #expect(try Array(Data(contentsOf: received)) == body)
  }

  @Test func nghttpGetsALargeBodyOverManyStreams() throws {
    let result = try run("nghttp", ["-ns", "-m", "10", "-t", "20", url + "/size/300000"])
    #expect(result.status == 0)
    #expect(result.text.components(separatedBy: " 200 ").count - 1 == 10, "\(result.text)")
    #expect(result.text.components(separatedBy: " 292K ").count - 1 == 10, "\(result.text)")
  }

  @Test func h2loadSucceedsWithEveryRequest() throws {
    let result = try run("h2load", ["-n", "5000", "-c", "8", "-m", "32", url + "/size/1024"])
    #expect(result.text.contains("5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed"), "\(result.text)")
    #expect(result.text.contains("5120000) data"), "\(result.text)")
  }
}
