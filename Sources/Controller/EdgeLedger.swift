// What sidecars have counted, kept over their ends: a pod's counts begin at zero with every new sidecar, the lab's do not.
internal import Foundation
internal import Mesh
internal import NorthboundAPI

/// `GET /edges` of a sidecar (its EdgeReport).
struct SidecarReport: Codable, Sendable {
  struct Edge: Codable, Sendable {
    var direction: String
    var source: String
    var service: String
    var version: String
    var requests: UInt64
    var failures: UInt64
    var abandoned: UInt64
    var codes: [UInt64]
    var retries: UInt64
    var ejections: UInt64
    var refused: [String: UInt64]
    var bytesToServer: UInt64
    var bytesToClient: UInt64
    var latency: [UInt64]
    var latencySum: Double
  }

  /// Nanoseconds since 1970: of the process, and of this report.
  var started: UInt64
  var at: UInt64
  /// Seconds.
  var limits: [Double]
  var edges: [Edge]
}

struct EdgeLedger: Sendable {
  private struct Account: Sendable {
    var started: UInt64
    var at: UInt64
    var edges: [MeshEdge]
    /// Of sidecars that this pod had before.
    var past: [MeshEdge] = []
  }

  private var accounts: [String: Account] = [:]

  /// An answer that is older than what is known already is ignored.
  mutating func take(_ report: SidecarReport, of pod: MeshPod, _ model: MeshModel) {
    var account = accounts[pod.name] ?? Account(started: report.started, at: 0, edges: [])
    guard report.at >= account.at else { return }
    if report.started != account.started {
      for edge in account.edges { account.past.add(edge) }
      account.started = report.started
    }
    account.at = report.at
    account.edges = report.edges.compactMap { MeshEdge($0, report.limits, pod, model) }
    accounts[pod.name] = account
  }

  /// The sums over all pods. What a server counted of a client that counts by itself is left out.
  func edges(_ model: MeshModel) -> [MeshEdge] {
    let counting = Dictionary(grouping: model.pods, by: \.account)
      .filter { $0.value.allSatisfy { $0.sidecar == .netloom } }
    var result: [MeshEdge] = []
    for account in accounts.values {
      for edge in account.past + account.edges where edge.reporter == "client" || counting[edge.from] == nil {
        result.add(edge)
      }
    }
    result.removeAll { $0.requests == 0 && $0.abandoned == 0 }
    return result.sorted { ($0.from, $0.to, $0.version, $0.reporter) < ($1.from, $1.to, $1.version, $1.reporter) }
  }
}

extension [MeshEdge] {
  /// To the sum of the same edge.
  fileprivate mutating func add(_ edge: MeshEdge) {
    if let index = firstIndex(where: { $0.isSame(as: edge) }) { self[index].add(edge) } else { append(edge) }
  }
}

extension MeshEdge {
  /// Nil for what is no service's: connections that are passed through, mirrored requests.
  fileprivate init?(_ edge: SidecarReport.Edge, _ limits: [Double], _ pod: MeshPod, _ model: MeshModel) {
    // Chains of a listener are called SERVICE, "SERVICE, plain" or SERVICE:PORT.
    let service = String(edge.service.prefix { $0 != "," && $0 != ":" })
    guard model.services.contains(where: { $0.name == service }) else { return nil }
    let isClient = edge.direction == "outbound"
    self.init(
      from: isClient ? pod.account : Self.account(edge.source, model.trustDomain), to: service,
      version: isClient ? edge.version : pod.version ?? "", reporter: isClient ? "client" : "server",
      requests: edge.requests, failures: edge.failures, abandoned: edge.abandoned,
      codes: Dictionary(
        uniqueKeysWithValues: edge.codes.enumerated().dropFirst().filter { $0.element > 0 }
          .map { ("\($0.offset)xx", $0.element) }),
      retries: edge.retries, ejections: edge.ejections, refused: edge.refused, bytesToServer: edge.bytesToServer,
      bytesToClient: edge.bytesToClient, latency: MeshLatency(edge, limits))
  }

  /// The account of an identity of the lab's own; another identity stays as it is.
  private static func account(_ identity: String, _ trustDomain: String) -> String {
    let own = "spiffe://\(trustDomain)/ns/default/sa/"
    return identity.hasPrefix(own) ? String(identity.dropFirst(own.count)) : identity
  }
}

extension MeshLatency {
  fileprivate init(_ edge: SidecarReport.Edge, _ limits: [Double]) {
    var below: UInt64 = 0
    let buckets = zip(limits, edge.latency).map { limit, count in
      below += count
      return Bucket(le: limit, count: below)
    }
    self.init(buckets: buckets, count: edge.latency.reduce(0, +), sum: edge.latencySum)
  }
}
