import NorthboundAPI
import Testing

@testable import Delivery

@Suite struct FlowTests {
  private let systems: [String: UInt32] = ["dc": 64500, "isp1": 64496, "isp2": 64497, "access": 64510]

  private func flow(
    _ client: String, _ clientPort: UInt16, _ server: String, _ port: UInt16, _ there: [String],
    _ back: [String]? = nil,
    undecided: String? = nil
  ) -> LiveFlow {
    func path(_ nodes: [String]) -> TracedPath {
      TracedPath(path: nodes, hops: [], paths: [], packets: 1, lost: 0, lastSeen: nil)
    }
    return LiveFlow(
      proto: "tcp", client: FlowEnd(node: client, address: "", port: clientPort),
      server: FlowEnd(node: server, address: "", port: port), forward: path(there),
      return: path(back ?? there.reversed()), symmetric: true, undecided: undecided, forwardBytes: 1, returnBytes: 1)
  }

  private func crossed(_ flows: [LiveFlow]) -> [String: Set<UInt32>] {
    LiveLab.crossed(
      LiveFlows(flows: flows, seconds: 1, captured: 1, dropped: 0, flowsOverLimit: 0, notOurs: 0), ["web-3"],
      ["registry"],
      systems, answering: 8080)
  }

  @Test func systemsAreThoseOfTheOwnConnectionsThereAndBack() {
    let found = crossed([
      flow("web-3", 40000, "stock", 9000, ["web-3", "dc", "isp2", "stock"], ["stock", "isp1", "dc", "web-3"])
    ])
    #expect(found == ["its own connections": [64500, 64497], "answers to its own connections": [64500, 64496]])
  }

  @Test func othersConnectionsAndThoseToTheRegistryDoNotCount() {
    let way = ["web-3", "dc", "isp2"]
    let found = crossed([
      flow("web-1", 40000, "stock", 9000, way), flow("web-3", 40000, "registry", 5000, way),
      flow("web-3", 40000, "stock", 9000, way, undecided: "a capture lost packets"),
      // A client's connection of which the answer was seen first.
      flow("web-3", 8080, "client", 50000, ["web-3", "dc", "isp1", "access", "client"]),
    ])
    #expect(found.isEmpty)
  }
}
