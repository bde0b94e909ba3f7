internal import ControlProtocol
internal import Foundation
internal import NIOCore
internal import NetTypes
public import NorthboundAPI
internal import Topology

/// Live flows: what crosses the lab, found in captures.
extension LabController {
  private static let longestLook: Int64 = 600_000

  /// Throws `APIError`: a filter or time that cannot be, no probe.
  public func flows(_ query: FlowsQuery) async throws -> LiveFlows {
    guard (1...Self.longestLook).contains(query.durationMs) else {
      throw APIError(
        code: "invalid", message: "durationMs is \(query.durationMs), expected 1 to \(Self.longestLook)")
    }
    var request = NLFlowsRequest()
    request.flow = try observedLab()
    request.durationMs = UInt32(query.durationMs)
    request.filter = query.filter ?? ""
    let answer = try await ask(
      probeConnection(), .flowsRequest(request), timeout: .milliseconds(query.durationMs + 30_000),
      whom: "netloom-probe")
    guard case .flowsReply(let reply) = answer else {
      throw APIError(code: "internal", message: "netloom-probe answered something else")
    }
    if !reply.error.isEmpty {
      throw APIError(code: reply.error.hasPrefix("filter") ? "invalid" : "internal", message: reply.error)
    }
    return LiveFlows(
      flows: reply.flows.map { LiveFlow($0, book) }, seconds: reply.seconds, captured: reply.captured,
      dropped: reply.dropped, flowsOverLimit: reply.flowsOverLimit, notOurs: reply.notOurs)
  }
}

extension LabController {
  /// Every interface that runs, and what the lab is: as a trace has it, of no flow.
  private func observedLab() throws -> NLTraceRequest {
    guard let node = lab.nodes.first else { return NLTraceRequest() }
    return try traceRequest(
      Endpoints(from: node, to: "0.0.0.0", family: nil, lab: lab, book: book), proto: "icmp",
      query: TraceQuery(from: node.name, to: ""))
  }
}

extension LiveFlow {
  init(_ flow: NLLiveFlow, _ book: AddressBook) {
    let proto =
      switch flow.protocol {
      case 1, 58: "icmp"
      case 6: "tcp"
      case 17: "udp"
      default: "\(flow.protocol)"
      }
    let end = { (address: String, port: UInt32, nodes: [String?]) in
      let owner = IPAddress(address).flatMap { book.owner(of: $0, from: "") }
      return FlowEnd(
        node: nodes.lazy.compactMap { $0 }.first ?? owner, address: address,
        port: port == 0 ? nil : UInt16(truncatingIfNeeded: port))
    }
    // A path names its ends better than an address, which several nodes may have.
    let isDecided = flow.undecidedBecause.isEmpty
    let (there, back) = (flow.forward.path, flow.return.path)
    self.init(
      proto: proto, client: end(flow.client, flow.clientPort, [there.first, back.last]),
      server: end(
        flow.server, flow.serverPort, [back.first, flow.forward.packets > flow.forward.lost ? there.last : nil]),
      forward: flow.forward.traced, return: flow.return.traced, symmetric: isDecided ? flow.symmetric.answer : nil,
      undecided: flow.undecidedBecause.nonEmpty, forwardBytes: flow.forwardBytes, returnBytes: flow.returnBytes)
  }
}
