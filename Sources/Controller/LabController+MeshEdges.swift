internal import ControlProtocol
internal import Foundation
internal import Mesh
public import NorthboundAPI

/// What the sidecars of the mesh have counted.
extension LabController {
  private static let sidecarLimit = Duration.seconds(1)

  func sidecar(of pod: String) -> SidecarClient { SidecarClient(socket: run.sidecarSocket(pod), group: loop) }

  /// Asks every sidecar; of one that does not answer, what it said last is taken.
  public func meshEdges() async throws -> [MeshEdge] {
    guard let mesh else { throw APIError(code: "invalid", message: "the topology has no `mesh`") }
    let pods = mesh.applied.pods.filter { $0.sidecar == .netloom }
    let reports = await withTaskGroup(of: (MeshPod, SidecarReport?).self) { group in
      for pod in pods {
        let client = sidecar(of: pod.name)
        group.addTask {
          guard let bytes = try? await client.get("/edges", within: Self.sidecarLimit) else { return (pod, nil) }
          return (pod, try? JSONDecoder().decode(SidecarReport.self, from: Data(bytes)))
        }
      }
      var reports: [(MeshPod, SidecarReport?)] = []
      for await report in group { reports.append(report) }
      return reports
    }
    let model = self.mesh?.applied ?? mesh.applied
    for case (let pod, let report?) in reports { edges.take(report, of: pod, model) }
    return edges.edges(model)
  }
}

extension LabController {
  func meshMetrics(_ page: inout MetricsPage, _ edges: [MeshEdge]) {
    for edge in edges {
      let labels = ["from": edge.from, "to": edge.to, "version": edge.version, "reporter": edge.reporter]
      func add(_ family: MetricFamily, _ value: UInt64, _ key: String = "", _ label: String = "", suffix: String = "") {
        let all = key.isEmpty ? labels : labels.merging([key: label]) { $1 }
        page.add(family, Double(value), all, suffix: suffix)
      }
      add(.meshRequests, edge.requests)
      add(.meshFailures, edge.failures)
      for (code, count) in edge.codes { add(.meshCodes, count, "code", code) }
      add(.meshRetries, edge.retries)
      add(.meshEjections, edge.ejections)
      add(.meshBytes, edge.bytesToServer, "to_end", "server")
      add(.meshBytes, edge.bytesToClient, "to_end", "client")
      for bucket in edge.latency.buckets { add(.meshLatency, bucket.count, "le", "\(bucket.le)", suffix: "_bucket") }
      add(.meshLatency, edge.latency.count, "le", "+Inf", suffix: "_bucket")
      page.add(.meshLatency, edge.latency.sum, labels, suffix: "_sum")
      add(.meshLatency, edge.latency.count, suffix: "_count")
    }
  }
}
