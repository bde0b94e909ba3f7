internal import ControlProtocol
internal import Foundation
internal import NIOCore
internal import NorthboundAPI

/// Traces that a verdict asks for.
extension LabController {
  struct Flow: Hashable, Sendable {
    var from: String
    var to: String
  }

  /// Where the packets of such traces are written.
  enum Captures: Sendable {
    case none
    /// nil: the lab's own folder.
    case folder(String?)
  }

  /// At a time: one that gets no answer waits a second.
  private static let tracedTogether = 4

  /// A few at a time, in the order of `flows`.
  func traces(of flows: [Flow], _ captures: Captures) async -> [Result<Trace, any Error>] {
    var results: [Result<Trace, any Error>] = []
    var rest = flows[...]
    while !rest.isEmpty {
      let together = rest.prefix(Self.tracedTogether)
      rest = rest.dropFirst(together.count)
      let running = together.map { flow in Task { try await trace(flow, captures) } }
      for task in running { results.append(await task.result) }
    }
    return results
  }

  private func trace(_ flow: Flow, _ captures: Captures) async throws -> Trace {
    if case .folder(let folder) = captures {
      return try await trace(TraceQuery(from: flow.from, to: flow.to, directory: folder))
    }
    let endpoints = try endpoints(from: flow.from, to: flow.to, family: nil)
    let request = try traceRequest(endpoints, proto: "icmp", query: TraceQuery(from: flow.from, to: flow.to))
    let answer = try await ask(
      probeConnection(), .traceRequest(request), timeout: .seconds(25), whom: "netloom-probe")
    guard case .traceReply(let reply) = answer, reply.error.isEmpty else {
      throw APIError(code: "internal", message: "netloom-probe could not trace \(flow.from) to \(flow.to)")
    }
    var trace = reply.trace(endpoints, proto: "icmp", port: nil)
    if trace.symmetric == false, let parting = Parting(trace) { trace.divergence = await divergence(parting) }
    return trace
  }

  /// Of a trace that shows nothing out of order: nobody will look for it.
  nonisolated static func discardCapture(of trace: Trace) {
    if let path = trace.capture { try? FileManager.default.removeItem(atPath: path) }
  }
}
