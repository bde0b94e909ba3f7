internal import ControlProtocol
internal import Foundation
internal import Intent
internal import NIOCore
internal import NetTypes
public import NorthboundAPI
internal import Topology

/// Real flows and their captures: what to ask the probe, and what its answer means.
extension LabController {
  /// Throws `APIError`: names that do not fit, no probe, a probe that could not start the flow.
  public func trace(_ query: TraceQuery) async throws -> Trace {
    let proto = query.proto ?? "icmp"
    let endpoints = try endpoints(from: query.from, to: query.to, family: query.family)
    var request = try traceRequest(endpoints, proto: proto, query: query)
    request.pcap = try capturePath(endpoints, proto: proto, directory: query.directory)
    let answer = try await ask(
      probeConnection(), .traceRequest(request), timeout: .seconds(25 + Int64(request.count)), whom: "netloom-probe")
    guard case .traceReply(let reply) = answer else {
      throw APIError(code: "internal", message: "netloom-probe answered something else")
    }
    if !reply.error.isEmpty { throw APIError(code: "internal", message: reply.error) }
    let port = UInt16(truncatingIfNeeded: reply.port == 0 ? request.port : reply.port)
    var trace = reply.trace(endpoints, proto: proto, port: port)
    if trace.symmetric == false, let parting = Parting(trace) { trace.divergence = await divergence(parting) }
    return trace
  }

  /// Both ends of a flow; who sends must run.
  func endpoints(from name: String, to: String, family: String?) throws -> Endpoints {
    let from = try find(name)
    let family = try family.map(Self.family)
    let endpoints = try Endpoints(from: from, to: to, family: family, lab: lab, book: book)
    guard innerPID(from.name) != nil else {
      throw APIError(code: "unavailable", message: "\(from.name) does not run")
    }
    return endpoints
  }

  private static func family(_ word: String) throws -> AddressFamily {
    switch word {
    case "ipv4": return .ipv4
    case "ipv6": return .ipv6
    default: throw APIError(code: "invalid", message: "no family \(word): ipv4 or ipv6")
    }
  }

  func traceRequest(_ endpoints: Endpoints, proto: String, query: TraceQuery) throws -> NLTraceRequest {
    var request = NLTraceRequest()
    request.from = endpoints.from
    request.to = endpoints.to
    request.source = Data(endpoints.source?.bytes ?? [])
    request.destination = Data(endpoints.destination.bytes)
    switch proto {
    case "icmp": request.protocol = .icmp
    case "tcp": request.protocol = .tcp
    case "udp": request.protocol = .udp
    default: throw APIError(code: "invalid", message: "no protocol \(proto): icmp, tcp or udp")
    }
    // 0 leaves both to the probe.
    request.port = proto == "icmp" ? 0 : UInt32(query.port ?? 0)
    request.count = query.count ?? 0
    guard query.count != 0, request.count <= 1000 else {
      throw APIError(code: "invalid", message: "count is \(request.count), expected 1 to 1000")
    }
    request.points = points { _ in true }
    request.adjacencies = plan.links.map { link in
      var adjacency = NLAdjacency()
      adjacency.nodeA = link.a.node
      adjacency.interfaceA = link.a.interface
      adjacency.nodeB = link.b.node
      adjacency.interfaceB = link.b.interface
      return adjacency
    }
    request.nodes = lab.nodes.compactMap(probeNode)
    return request
  }

  private func probeNode(_ node: ResolvedNode) -> NLProbeNode? {
    guard let pid = innerPID(node.name) else { return nil }
    var described = NLProbeNode()
    described.name = node.name
    described.kind = node.kind.rawValue
    described.pid = pid
    described.addresses = node.addresses.map { Data($0.bytes) }
    described.forwards = node.kind.forwards
    return described
  }

  /// Every interface of the running nodes that can tell something: a switch's port sees what its neighbor sees.
  private func points(where wanted: (String) -> Bool) -> [NLCapturePoint] {
    lab.nodes.flatMap { node -> [NLCapturePoint] in
      guard node.kind != .switch, let pid = innerPID(node.name) else { return [] }
      return node.interfaces.filter { wanted("\(node.name):\($0.name)") }.map { interface in
        var point = NLCapturePoint()
        point.node = node.name
        point.interface = interface.name
        point.ifindex = interface.index
        point.pid = pid
        point.description_p = "\(node.name):\(interface.name)"
        point.mac = Data(interface.mac.bytes)
        return point
      }
    }
  }

  /// `selection`: NODE or NODE:IFACE; empty: every interface but `lo` and switch ports.
  public func capturePoints(_ selection: [String]) throws -> [CapturePointInfo] {
    if selection.isEmpty { return points { _ in true }.map(Self.info) }
    return try selection.flatMap { word -> [CapturePointInfo] in
      let parts = word.split(separator: ":", maxSplits: 1).map(String.init)
      let node = try find(parts.first ?? word)
      guard let pid = innerPID(node.name) else {
        throw APIError(code: "unavailable", message: "\(node.name) does not run")
      }
      let wanted = parts.count == 2 ? parts[1] : nil
      if wanted == "lo" { return [Self.loopback(node.name, pid)] }
      let chosen = node.interfaces.filter { wanted == nil || wanted == $0.name }
      guard !chosen.isEmpty else {
        let hint = nearestName(to: wanted ?? "", in: node.interfaces.map(\.name)).map { "; did you mean \($0)?" } ?? ""
        throw APIError(code: "not-found", message: "\(node.name) has no interface \(wanted ?? "")\(hint)")
      }
      return chosen.map {
        CapturePointInfo(
          node: node.name, interface: $0.name, ifindex: $0.index, pid: pid, description: "\(node.name):\($0.name)")
      }
    }
  }

  private static func info(_ point: NLCapturePoint) -> CapturePointInfo {
    CapturePointInfo(
      node: point.node, interface: point.interface, ifindex: point.ifindex, pid: point.pid,
      description: point.description_p)
  }

  /// `lo` is always 1.
  private static func loopback(_ node: String, _ pid: Int32) -> CapturePointInfo {
    CapturePointInfo(node: node, interface: "lo", ifindex: 1, pid: pid, description: "\(node):lo")
  }

  func capturePath(
    _ endpoints: Endpoints, proto: String, directory: String?, name: String = "trace"
  ) throws -> String {
    let folder = directory ?? run.path + "/captures"
    guard folder.hasPrefix("/") else {
      throw APIError(code: "invalid", message: "directory is \(folder), expected an absolute path")
    }
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw APIError(code: "internal", message: "\(folder) cannot be made: \(error.localizedDescription)")
    }
    let to = endpoints.to.nonEmpty ?? endpoints.destination.description.replacing(":", with: "-")
    while true {
      nextCapture += 1
      let path = "\(folder)/\(name)-\(endpoints.from)-\(to)-\(proto)-\(nextCapture).pcapng"
      if !FileManager.default.fileExists(atPath: path) { return path }
    }
  }

  /// Starts netloom-probe where none is connected.
  func probeConnection() async throws -> Connection.ID {
    if let probe { return probe }
    try await command(.startProbe(NLStartProbe()))
    let deadline = Instant.now + .seconds(5)
    while probe == nil, Instant.now < deadline { await wait(for: .probe, until: deadline) }
    guard let probe else { throw APIError(code: "unavailable", message: "netloom-probe did not start") }
    return probe
  }

  // MARK: divergence

  /// Asks the router at which the paths part for its reason.
  func divergence(_ parting: Parting) async -> Divergence {
    guard let explanation = try? await explain(node: parting.node, prefix: parting.destination) else {
      let kind = lab.node(parting.node).map(\.kind.rawValue) ?? "node"
      let because = lab.node(parting.node)?.kind.isDaemon == true ? "daemon" : "static"
      return Divergence(
        node: parting.node, prefix: parting.destination, because: because, detail: "the decision of a \(kind)")
    }
    return explanation.divergence(parting, book: book)
  }
}

extension RouteExplanation {
  /// The comparison that beat the way the flow came by; without one, what the kernel follows.
  func divergence(_ parting: Parting, book: AddressBook) -> Divergence {
    let rejected = comparisons.first { comparison in
      candidates.indices.contains(comparison.loser) && candidates[comparison.loser].neighbor == parting.expected
    }
    if let decided = rejected ?? comparisons.first, candidates.first?.usable == true {
      return Divergence(node: node, prefix: prefix, because: decided.because, detail: decided.detail)
    }
    let way = parting.chosen.map { "via \($0)" } ?? ""
    if let best = candidates.first, best.usable, best.neighbor != nil {
      return Divergence(node: node, prefix: prefix, because: best.because ?? "only-path", detail: way)
    }
    return Divergence(
      node: node, prefix: kernel?.prefix ?? prefix, because: kernel?.proto ?? "no-route", detail: way)
  }
}
