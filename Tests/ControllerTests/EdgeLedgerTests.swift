import Mesh
import NorthboundAPI
import Testing

@testable import Controller

@Suite struct EdgeLedgerTests {
  private var model: MeshModel {
    MeshModel(
      trustDomain: "lab",
      pods: [
        MeshPod(name: "client-1", addresses: [], service: "shop"),
        MeshPod(name: "legacy", addresses: [], sidecar: .envoy),
        MeshPod(name: "web-2", addresses: [], service: "web", version: "v2"),
      ], services: [MeshService(name: "web", addresses: [], port: 80, targetPort: 8080)])
  }

  private func edge(
    _ direction: String, _ source: String = "", _ service: String = "web", _ version: String = "", requests: UInt64
  ) -> SidecarReport.Edge {
    SidecarReport.Edge(
      direction: direction, source: source, service: service, version: version, requests: requests,
      failures: requests / 10, abandoned: 0, codes: [0, 0, requests, 0, 0, 0], retries: 0, ejections: 0, refused: [:],
      bytesToServer: 0, bytesToClient: 0, latency: [requests, 0, 0], latencySum: 0.5)
  }

  private func report(_ edges: [SidecarReport.Edge], started: UInt64 = 1, at: UInt64) -> SidecarReport {
    SidecarReport(started: started, at: at, limits: [0.001, 0.01], edges: edges)
  }

  @Test("clients are called by their service; what is no service's is left out")
  func names() {
    var ledger = EdgeLedger()
    let edges = [
      edge("outbound", "", "web", "v2", requests: 10), edge("outbound", "", "passthrough", "", requests: 5),
    ]
    ledger.take(report(edges, at: 1), of: model.pods[0], model)
    let found = ledger.edges(model)
    #expect(found.map { [$0.from, $0.to, $0.version, $0.reporter] } == [["shop", "web", "v2", "client"]])
    #expect(found[0].requests == 10)
    #expect(found[0].successRate == 0.9)
    #expect(found[0].codes == ["2xx": 10])
    #expect(found[0].latency.buckets.map(\.count) == [10, 10])
  }

  @Test("a sidecar that begins again at zero takes nothing away, and an old answer changes nothing")
  func monotonic() {
    var ledger = EdgeLedger()
    func take(_ requests: UInt64, started: UInt64, at: UInt64) {
      ledger.take(
        report([edge("outbound", "", "web", "v2", requests: requests)], started: started, at: at), of: model.pods[0],
        model)
    }
    take(100, started: 1, at: 10)
    take(3, started: 20, at: 21)
    #expect(ledger.edges(model)[0].requests == 103)
    take(101, started: 1, at: 11)
    #expect(ledger.edges(model)[0].requests == 103)
    take(4, started: 20, at: 22)
    #expect(ledger.edges(model)[0].requests == 104)
    #expect(ledger.edges(model)[0].latency.buckets.map(\.count) == [104, 104])
  }

  @Test("what a server counts is told of clients that do not count by themselves")
  func servers() {
    var ledger = EdgeLedger()
    let edges = [
      edge("inbound", "spiffe://lab/ns/default/sa/shop", requests: 7),
      edge("inbound", "spiffe://lab/ns/default/sa/legacy", "web, plain", requests: 8),
      edge("inbound", "", "web:80", requests: 9),
    ]
    ledger.take(report(edges, at: 1), of: model.pods[2], model)
    let found = ledger.edges(model)
    #expect(found.map(\.from) == ["", "legacy"])
    #expect(found.map(\.requests) == [9, 8])
    #expect(found.allSatisfy { $0.version == "v2" && $0.reporter == "server" })
  }

  @Test("a window is the difference of two readings, with its own quantiles")
  func window() {
    func reading(_ fast: UInt64, _ slow: UInt64, _ failures: UInt64) -> MeshEdge {
      MeshEdge(
        from: "shop", to: "web", version: "v2", reporter: "client", requests: fast + slow, failures: failures,
        latency: MeshLatency(
          buckets: [.init(le: 0.1, count: fast), .init(le: 0.2, count: fast + slow)], count: fast + slow, sum: 1))
    }
    let window = [reading(1000, 100, 5)].since([reading(1000, 0, 5)])
    #expect(window.count == 1)
    #expect(window[0].requests == 100)
    #expect(window[0].successRate == 1)
    // All hundred lie between 0.1 s and 0.2 s.
    #expect(abs((window[0].latency.quantile(0.5) ?? 0) - 0.15) < 1e-9)
    #expect(abs((window[0].latency.quantile(0.99) ?? 0) - 0.199) < 1e-9)
    #expect([reading(5, 5, 0)].since([reading(5, 5, 0)]).isEmpty)
  }
}
