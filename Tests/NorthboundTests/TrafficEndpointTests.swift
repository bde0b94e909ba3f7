import NorthboundAPI
import NorthboundClient
import Testing

@Suite("Traffic and flows over the API", .timeLimit(.minutes(1)))
struct TrafficEndpointTests {
  @Test("the client understands lists and refusals")
  func client() async throws {
    let api = try await RunningAPI()
    #expect(try await api.client.traffic().isEmpty)
    let missing = await #expect(throws: APIError.self) { try await api.client.stopTraffic(7) }
    #expect(missing?.code == "not-found")
    let query = TrafficQuery(from: "customer", to: "isp1", rate: 0)
    let refused = await #expect(throws: APIError.self) { try await api.client.startTraffic(query) }
    #expect(refused?.code == "invalid")
    let tooLong = await #expect(throws: APIError.self) { try await api.client.flows(FlowsQuery(durationMs: 600_001)) }
    #expect(tooLong?.code == "invalid")
  }

  @Test("a number that is none is refused, not taken for another")
  func number() async throws {
    let api = try await RunningAPI()
    let answer = try await api.raw("POST", "/v1/traffic/x/stop")
    #expect(answer.status == 400 && answer.body.contains("number of the traffic"))
  }
}
