import Foundation
import NorthboundAPI
import NorthboundClient
import Testing

@testable import Northbound

@Suite("Endpoints", .timeLimit(.minutes(1)))
struct EndpointTests {
  private var openAPI: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Sources/Northbound/openapi.yaml")
  }

  /// "GET /v1/status" of every operation: paths stand at two spaces, methods at four.
  private func described() throws -> Set<String> {
    var found: Set<String> = []
    var path = ""
    for line in try String(contentsOf: openAPI, encoding: .utf8).split(separator: "\n") {
      if line.hasPrefix("  /") { path = line.trimmingCharacters(in: [" ", ":"]) }
      for method in ["get", "post", "put", "delete"] where line == "    \(method):" {
        found.insert("\(method.uppercased()) \(path)")
      }
    }
    return found
  }

  @Test("openapi.yaml describes each endpoint and no other")
  func described() async throws {
    let api = try await RunningAPI()
    #expect(try APIRoutes(controller: api.controller).endpoints == described())
  }

  @Test("openapi.yaml is a valid OpenAPI document")
  func valid() throws {
    let check = Process()
    check.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    check.arguments = ["python3", "-m", "openapi_spec_validator", openAPI.path]
    let output = Pipe()
    check.standardOutput = output
    check.standardError = output
    try check.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    check.waitUntilExit()
    if text.contains("No module named") {
      withKnownIssue("openapi-spec-validator is not installed: the document was not checked") {
        Issue.record("\(text)")
      }
      return
    }
    #expect(check.terminationStatus == 0, "\(text)")
  }

  @Test("the client understands every answer that needs no process of the lab")
  func client() async throws {
    let api = try await RunningAPI()
    let status = try await api.client.status()
    #expect(status.lab == "pair")
    #expect(status.nodes.map(\.name) == ["customer", "isp1"])
    #expect(
      status.sessions.map { "\($0.node) \($0.neighbor) \($0.state)" } == ["customer isp1 idle", "isp1 customer idle"])
    #expect(!status.converged)
    let convergence = try await api.client.converged(within: .milliseconds(20))
    #expect(convergence.reasons == ["the machine is still building the lab"])
    let progress = try await api.client.progress(seen: 0, wait: .zero)
    #expect((progress.nodes, progress.sessions, progress.built) == (2, 2, false))
    let topology = try await api.client.topology()
    #expect(topology.links.map(\.relation) == ["customer-provider"])
    #expect(try await api.client.events(since: 0).isEmpty)
  }

  @Test("an unknown node is 404 with the nearest name")
  func unknownNode() async throws {
    let api = try await RunningAPI()
    let answer = try await api.raw("GET", "/v1/nodes/custmer/bgp")
    #expect(answer.status == 404)
    #expect(
      answer.body == #"{"code":"not-found","message":"lab pair has no node custmer; did you mean customer?"}"#)
  }

  @Test("what does not fit is 400 and says what was expected")
  func invalid() async throws {
    let api = try await RunningAPI()
    let number = try await api.raw("GET", "/v1/converged?timeout-ms=soon")
    #expect(number.status == 400)
    #expect(number.body.contains("timeout-ms is soon, expected a number from 0 to 3600000"))
    let prefix = try await api.raw("GET", "/v1/nodes/isp1/explain")
    #expect(prefix.status == 400)
    let json = try await api.raw("POST", "/v1/trace", body: "{from")
    #expect(json.status == 400)
    #expect(json.body.contains("the body is no TraceQuery: not JSON"))
    let missing = try await api.raw("POST", "/v1/trace", body: #"{"from":"isp1"}"#)
    #expect(missing.body.contains("the body is no TraceQuery: to is missing"))
    let fault = try await api.raw("POST", "/v1/faults", body: #"{"kind":"flood","targets":[]}"#)
    #expect(fault.status == 400)
  }

  @Test("an agent that is not there is 503, an unknown path 404, a body over 1 MiB 413")
  func otherCodes() async throws {
    let api = try await RunningAPI()
    let absent = try await api.raw("GET", "/v1/nodes/isp1/bgp")
    #expect(absent.status == 503)
    #expect(absent.body == #"{"code":"unavailable","message":"the agent of isp1 is not connected"}"#)
    let path = try await api.raw("GET", "/v2/everything")
    #expect(path.status == 404)
    #expect(path.body == #"{"code":"not-found","message":"there is no GET /v2/everything"}"#)
    let large = try await api.raw("POST", "/v1/trace", body: String(repeating: "x", count: 1_100_000))
    #expect(large.status == 413)
  }
}
