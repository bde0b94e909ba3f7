import Foundation
import NorthboundAPI
import Testing

@testable import Northbound

/// The documents against the samples of the contract.
@Suite("JSON")
struct JSONShapeTests {
  private func object(_ text: String) throws -> NSDictionary {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? NSDictionary)
  }

  private func object(_ document: some Encodable) throws -> NSDictionary {
    try #require(try JSONSerialization.jsonObject(with: JSONEncoder().encode(document)) as? NSDictionary)
  }

  @Test("a trace has every key of the contract's sample, with its values")
  func trace() throws {
    // Contract, section 5.
    let sample = try object(
      """
      {"flow":{"from":"h1","to":"web","proto":"tcp","port":80},"reachable":true,"symmetric":false,
       "forward":{"path":["h1","customer","isp1","isp2","web"],
                  "hops":[{"node":"customer","in":"eth3","out":"eth1","us":1.2,"nat":null,"joinedBy":"seq"}],
                  "paths":[],"packets":8,"lost":0},
       "return":{"path":["web","isp2","customer","h1"],"hops":[],"packets":7,"lost":0},
       "divergence":{"node":"isp2","prefix":"203.0.113.0/24","because":"as-path-length","detail":"64500 over 64496 64500"},
       "complete":true,"capture":"FILE.pcapng"}
      """)
    let trace = Trace(
      flow: TracedFlow(from: "h1", to: "web", proto: "tcp", port: 80, source: nil, destination: nil), reachable: true,
      symmetric: false,
      forward: TracedPath(
        path: ["h1", "customer", "isp1", "isp2", "web"],
        hops: [TracedHop(node: "customer", in: "eth3", out: "eth1", us: 1.2, nat: nil, joinedBy: "seq")], paths: [],
        packets: 8, lost: 0, lastSeen: nil),
      return: TracedPath(
        path: ["web", "isp2", "customer", "h1"], hops: [], paths: [], packets: 7, lost: 0, lastSeen: nil),
      divergence: Divergence(
        node: "isp2", prefix: "203.0.113.0/24", because: "as-path-length", detail: "64500 over 64496 64500"),
      complete: true, undecided: nil, icmpErrors: [], capture: "FILE.pcapng")
    try expectContains(object(trace), sample)
  }

  @Test("a hop that rewrote leaves untouched members out")
  func rewrite() throws {
    let hop = TracedHop(
      node: "customer", in: "eth4", out: "eth1", us: 2,
      nat: TracedRewrite(source: Rewrite(from: "192.168.1.2", to: "203.0.113.10"), destination: nil), joinedBy: "seq")
    let nat = try #require(try object(hop)["nat"] as? NSDictionary)
    #expect(nat == ["source": ["from": "192.168.1.2", "to": "203.0.113.10"]])
  }

  @Test("status has the keys of the contract")
  func status() async throws {
    let api = try await RunningAPI()
    let answer = try await api.raw("GET", "/v1/status")
    #expect(answer.status == 200)
    let status = try object(answer.body)
    for key in ["lab", "pid", "controller", "converged", "version", "nodes", "sessions", "links"] {
      #expect(status[key] != nil, "\(key)")
    }
    let node = try #require((status["nodes"] as? [NSDictionary])?.first)
    for key in ["name", "kind", "pid", "asn", "state"] { #expect(node[key] != nil, "nodes: \(key)") }
    let session = try #require((status["sessions"] as? [NSDictionary])?.first)
    for key in ["node", "neighbor", "state", "prefixesReceived", "prefixesSent"] {
      #expect(session[key] != nil, "sessions: \(key)")
    }
    let controller = try #require(status["controller"] as? NSDictionary)
    #expect(controller["pid"] != nil && controller["state"] != nil)
  }

  /// Everything of `sample` is in `document` with the same value; more may be.
  private func expectContains(_ document: NSDictionary, _ sample: NSDictionary) throws {
    for (key, value) in sample {
      if let inner = value as? NSDictionary {
        try expectContains(#require(document[key] as? NSDictionary, "\(key)"), inner)
      } else {
        #expect(NSArray(array: [document[key] ?? NSNull()]) == NSArray(array: [value]), "\(key)")
      }
    }
  }
}
