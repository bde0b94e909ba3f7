internal import ControlProtocol
internal import Foundation
internal import NIOCore
internal import NetTypes
public import NorthboundAPI

/// Flows that are measured: how fast, and translated to what.
extension LabController {
  /// Milliseconds; what netloom-probe takes.
  private static let longestRate: Int64 = 600_000

  /// Throws `APIError`, like `trace`.
  public func rate(_ query: RateQuery) async throws -> RateResult {
    if query.from == query.to {
      throw APIError(
        code: "invalid", message: "from and to are both \(query.from): a rate is measured between two nodes")
    }
    let endpoints = try endpoints(from: query.from, to: query.to, family: query.family)
    var request = NLRateRequest()
    request.flow = try traceRequest(
      endpoints, proto: checked(query),
      query: TraceQuery(from: query.from, to: query.to, proto: query.proto, port: query.port ?? 5201))
    if query.directory != nil {
      request.flow.pcap = try capturePath(
        endpoints, proto: query.proto, directory: query.directory, name: "rate")
    }
    request.durationMs = UInt32(query.durationMs)
    request.rate = query.rate ?? 0
    request.dscp = UInt32(query.dscp ?? 0)
    let answer = try await ask(
      probeConnection(), .rateRequest(request), timeout: .milliseconds(query.durationMs + 30_000),
      whom: "netloom-probe")
    guard case .rateReply(let reply) = answer else {
      throw APIError(code: "internal", message: "netloom-probe answered something else")
    }
    if !reply.error.isEmpty { throw APIError(code: "internal", message: reply.error) }
    return RateResult(reply)
  }

  /// The protocol, when everything fits.
  private func checked(_ query: RateQuery) throws -> String {
    guard (1...Self.longestRate).contains(query.durationMs) else {
      throw APIError(
        code: "invalid", message: "durationMs is \(query.durationMs), expected 1 to \(Self.longestRate)")
    }
    if let dscp = query.dscp, dscp > 63 {
      throw APIError(code: "invalid", message: "dscp is \(dscp), expected 0 to 63")
    }
    switch (query.proto, query.rate) {
    case ("tcp", nil), ("udp", .some(1...)): return query.proto
    case ("tcp", _): throw APIError(code: "invalid", message: "tcp goes as fast as it can: rate is for udp")
    case ("udp", _): throw APIError(code: "invalid", message: "udp needs a rate to offer, in bit/s")
    default: throw APIError(code: "invalid", message: "no protocol \(query.proto): tcp or udp")
    }
  }

  /// Sends a flow and looks for it in the connection table of `node` at once, before the entry can expire.
  public func translation(_ query: NATQuery) async throws -> NATResult {
    _ = try find(query.node)
    let trace = try await trace(
      TraceQuery(
        from: query.from, to: query.to, proto: query.proto, port: query.port, family: query.family,
        directory: query.directory))
    let found = try await connection(of: FlowAtNode(trace, node: query.node), on: query.node)
    let entry = found.map(ConnectionEntry.init)
    let rewrite = found?.rewrite(withPorts: false)
    return NATResult(
      reachable: trace.reachable, source: rewrite?.source, destination: rewrite?.destination, connection: entry,
      trace: trace)
  }

  private func connection(of flow: FlowAtNode, on name: String) async throws -> NLConnection? {
    guard agents[name] != nil else { return nil }
    var query = NLQuery()
    query.kind = .conntrack
    query.limit = 5000
    var best: NLConnection?
    while true {
      let reply = try await question(name, query)
      for connection in reply.connections {
        guard let rank = flow.rank(connection) else { continue }
        if let known = best.flatMap(flow.rank), known > rank { continue }
        best = connection
      }
      query.offset += UInt32(reply.connections.count)
      if reply.connections.isEmpty || UInt64(query.offset) >= reply.total { return best }
    }
  }
}

/// A traced flow as it reaches one node: what nodes before it have rewritten is so already.
struct FlowAtNode: Equatable, Sendable {
  var source: IPAddress?
  var destination: IPAddress?
  var protocols: Set<UInt32>
  /// Of the destination; nil: none, or rewritten on the way.
  var port: UInt32?

  init(_ trace: Trace, node: String) {
    source = trace.flow.source.flatMap { IPAddress($0) }
    destination = trace.flow.destination.flatMap { IPAddress($0) }
    port = trace.flow.port.map(UInt32.init)
    protocols =
      switch trace.flow.proto {
      case "tcp": [6]
      case "udp": [17]
      default: [1, 58]
      }
    for hop in trace.forward.hops {
      if hop.node == node { break }
      if let rewritten = hop.nat?.source { source = Self.address(rewritten.to) }
      if let rewritten = hop.nat?.destination {
        destination = Self.address(rewritten.to)
        port = nil
      }
    }
  }

  /// The address of "ADDRESS", "ADDRESS:PORT" or "[ADDRESS]:PORT".
  private static func address(_ text: String) -> IPAddress? {
    if let address = IPAddress(text) { return address }
    if text.hasPrefix("[") { return IPAddress(String(text.dropFirst().prefix { $0 != "]" })) }
    return IPAddress(String(text.prefix { $0 != ":" }))
  }

  struct Rank: Comparable, Sendable {
    var isOriginal: Bool
    var timeout: UInt32

    static func < (a: Rank, b: Rank) -> Bool {
      a.isOriginal == b.isOriginal ? a.timeout < b.timeout : b.isOriginal
    }
  }

  /// How likely an entry is the flow's; nil: it is another's. One that the flow began comes before one that it comes back
  /// over, which may be an earlier flow's the other way round. The table has no times: the entry that was renewed last
  /// has most of its timeout left.
  func rank(_ connection: NLConnection) -> Rank? {
    guard protocols.contains(connection.protocol) else { return nil }
    let isICMP = connection.isICMP
    if fits(connection.original, isICMP) { return Rank(isOriginal: true, timeout: connection.timeout) }
    return fits(connection.reply, isICMP) ? Rank(isOriginal: false, timeout: connection.timeout) : nil
  }

  private func fits(_ tuple: NLTuple, _ isICMP: Bool) -> Bool {
    IPAddress(bytes: tuple.source) == source && IPAddress(bytes: tuple.destination) == destination
      && (port == nil || isICMP || port == tuple.portDestination || port == tuple.portSource)
  }
}

extension RateResult {
  init(_ reply: NLRateReply) {
    let decided = reply.undecidedBecause.isEmpty && reply.complete
    let limit: LimitedBy? =
      switch reply.limitedBy {
      case .shaping: .shaping
      case .policing: .policing
      case .none: LimitedBy.none
      case .unknown, .UNRECOGNIZED: nil
      }
    self.init(
      reachable: reply.reachable, mbit: reply.seconds > 0 ? Double(reply.bytes) * 8 / reply.seconds / 1e6 : 0,
      bytes: reply.bytes, seconds: reply.seconds, packetsSent: reply.packetsSent,
      packetsReceived: reply.packetsReceived, retransmits: reply.retransmits, limitedBy: decided ? limit : nil,
      because: reply.because, place: reply.place.nonEmpty,
      intervals: reply.intervals.map { RateInterval(bytes: $0.bytes, lost: $0.lost, delayMs: $0.delayMs) },
      delay: reply.packetsReceived == 0
        ? nil : DelaySummary(min: reply.delayMinMs, median: reply.delayMedianMs, p99: reply.delayP99Ms),
      complete: reply.complete,
      undecided: decided ? nil : reply.undecidedBecause.nonEmpty ?? "the capture is incomplete",
      capture: reply.capture.nonEmpty)
  }
}
