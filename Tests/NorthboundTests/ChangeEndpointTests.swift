import Foundation
import NorthboundAPI
import NorthboundClient
import Testing

@testable import Northbound

@Suite("Changes by HTTP", .timeLimit(.minutes(1)))
struct ChangeEndpointTests {
  private let change = "topology: {nodes: {customer: {nat: [{masquerade: {out: eth1}}]}}}"

  @Test("a plan tells rule and place; a mistake is 422 with every diagnostic")
  func plan() async throws {
    let api = try await RunningAPI()
    let plan = try await api.client.plan(ChangeRequest(file: "C.yaml", text: change))
    #expect(plan.nodes.map(\.node) == ["customer"])
    #expect(plan.nodes.first?.changes.first?.place?.hasPrefix("C.yaml:1:") == true)
    let answer = try await api.raw(
      "POST", "/v1/plan", body: #"{"file":"C.yaml","text":"topology: {nodes: {custmer: {nat: []}}}"}"#)
    #expect(answer.status == 422)
    let error = try JSONDecoder().decode(APIError.self, from: Data(answer.body.utf8))
    #expect(error.code == "invalid-file")
    #expect(error.diagnostics?.first?.hasPrefix("C.yaml:1:") == true)
  }

  @Test("an apply that a node refuses, and a confirmation of nothing, are 409; an unknown version 404")
  func refused() async throws {
    let api = try await RunningAPI()
    let apply = try await api.raw(
      "POST", "/v1/apply", body: #"{"file":"C.yaml","text":"\#(change)"}"#)
    #expect(apply.status == 409)
    #expect(apply.body.contains(#""code":"refused""#) && apply.body.contains("customer: its agent is not connected"))
    #expect(try await api.raw("POST", "/v1/confirm").status == 409)
    #expect(try await api.raw("POST", "/v1/rollback").status == 404)
    #expect(try await api.client.history(limit: 10, offset: 0).map(\.change) == ["up lab.yaml"])
    #expect(try await api.client.history(limit: 10, offset: 1).isEmpty)
    #expect(try await api.client.drift().unknown.count == 2)
  }

  @Test("a CHANGE may have 8 MiB, other bodies 1 MiB")
  func bodies() async throws {
    let api = try await RunningAPI()
    let comment = String(repeating: "x", count: 2_000_000)
    let body = #"{"file":"C.yaml","text":"\#(change) # \#(comment)"}"#
    #expect(try await api.raw("POST", "/v1/plan", body: body).status == 200)
    let over = try await api.raw("POST", "/v1/plan", body: String(repeating: "x", count: 8_400_000))
    #expect(over.status == 413)
    #expect(over.body.contains("larger than 8388608 bytes"))
  }

  @Test("the metrics are Prometheus' text: each family has help and type once, before its samples")
  func metrics() async throws {
    let api = try await RunningAPI()
    let answer = try await api.raw("GET", "/metrics")
    #expect(answer.status == 200)
    var known: Set<String> = []
    for line in answer.body.split(separator: "\n") {
      if line.hasPrefix("# TYPE ") {
        let words = line.split(separator: " ")
        #expect(known.insert(String(words[2])).inserted)
        #expect(["counter", "gauge"].contains(words[3]))
      } else if !line.hasPrefix("# HELP ") {
        let sample = try #require(
          line.wholeMatch(of: /([a-z_]+)(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+/))
        #expect(known.contains(String(sample.1)), "\(line)")
      }
    }
    #expect(answer.body.contains("netloom_lab_version 1\n"))
    #expect(answer.body.contains(#"netloom_agent_connected{node="customer"} 0"#))
  }

  @Test("a token bucket gives its burst, then its rate")
  func bucket() {
    let start = ContinuousClock.now
    var bucket = TokenBucket(RateLimits.Rate(perSecond: 10, burst: 3), now: start)
    #expect((0..<3).allSatisfy { _ in bucket.take(now: start) == nil })
    #expect(bucket.take(now: start) == 0.1)
    #expect(bucket.take(now: start + .milliseconds(100)) == nil)
    #expect(bucket.take(now: start + .milliseconds(100)) != nil)
  }

  @Test("requests over the limit are 429 and told when to come again")
  func limited() async throws {
    let api = try await RunningAPI()
    var refused: RunningAPI.Response?
    for _ in 0..<1500 where refused == nil {
      let answer = try await api.raw("POST", "/v1/confirm")
      if answer.status == 429 { refused = answer }
    }
    #expect(refused?.body.contains(#""code":"rate-limited""#) == true)
    // Questions are still answered.
    #expect(try await api.raw("GET", "/v1/history").status == 200)
  }

  @Test("tokens of the right length are told apart whole")
  func tokens() {
    #expect(BearerToken.areEqual(Array("abcd".utf8), Array("abcd".utf8)))
    #expect(!BearerToken.areEqual(Array("abcd".utf8), Array("abce".utf8)))
    #expect(!BearerToken.areEqual(Array("abc".utf8), Array("abcd".utf8)))
  }

  @Test("the token is made once, for its owner alone")
  func tokenFile() throws {
    let path = "/tmp/nlapi-token-\(UUID().uuidString.prefix(8))"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let token = try APITokenFile.token(path: path)
    #expect(token.wholeMatch(of: /[0-9a-f]{64}/) != nil)
    #expect(try APITokenFile.token(path: path) == token)
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
  }
}
