internal import ControlProtocol
internal import Foundation
internal import NIOCore
public import NorthboundAPI

/// Background load: started at once, ended by its time or when it is told to, remembered for a while.
extension LabController {
  private static let mostRunning = 64
  private static let longestTraffic: Int64 = 3_600_000

  /// Throws `APIError`: names that do not fit, numbers that cannot be, no probe. What the probe refuses stands in the state,
  /// soon after.
  public func startTraffic(_ query: TrafficQuery) async throws -> TrafficState {
    try check(query)
    let endpoints = try endpoints(from: query.from, to: query.to, family: query.family)
    guard endpoints.to != endpoints.from else {
      throw APIError(
        code: "invalid", message: "from and to are both \(query.from): traffic runs between two nodes")
    }
    var request = NLTrafficRequest()
    request.flow = try traceRequest(
      endpoints, proto: query.proto,
      query: TraceQuery(from: query.from, to: query.to, proto: query.proto, port: query.port))
    if endpoints.to.isEmpty, query.proto != "icmp" {
      throw APIError(
        code: "invalid",
        message: "\(query.to) is no node of the lab: nobody receives there; icmp asks whoever answers")
    }
    request.durationMs = UInt32(query.durationMs ?? Self.longestTraffic)
    request.rate = query.rate ?? 0
    request.packetsPerSecond = query.packetsPerSecond ?? 0
    request.payload = query.payload ?? 0
    request.dscp = UInt32(query.dscp ?? 0)
    let probe = try await probeConnection()
    guard traffic.running < Self.mostRunning else {
      throw APIError(code: "conflict", message: "\(Self.mostRunning) streams are under way: no more at a time")
    }
    let state = traffic.add(query)
    request.id = state.id
    watch(request, probe)
    return state
  }

  private func check(_ query: TrafficQuery) throws {
    let refuse = { (reason: String) in APIError(code: "invalid", message: reason) }
    if let time = query.durationMs, !(1...Self.longestTraffic).contains(time) {
      throw refuse("durationMs is \(time), expected 1 to \(Self.longestTraffic)")
    }
    if let dscp = query.dscp, dscp > 63 { throw refuse("dscp is \(dscp), expected 0 to 63") }
    if query.rate == 0 || query.packetsPerSecond == 0 { throw refuse("a rate of nothing is no traffic") }
    if query.rate != nil, query.packetsPerSecond != nil {
      throw refuse("rate or packetsPerSecond: one says the other")
    }
    if query.proto == "icmp", query.port != nil { throw refuse("icmp has no port") }
    if query.port == 0 { throw refuse("port is 0, expected 1 to 65535") }
  }

  /// Waits for its end, which the probe tells.
  private func watch(_ request: NLTrafficRequest, _ probe: Connection.ID) {
    let limit = TimeAmount.milliseconds(Int64(request.durationMs) + 30_000)
    Task {
      do {
        let answer = try await ask(probe, .trafficRequest(request), timeout: limit, whom: "netloom-probe")
        guard case .trafficReply(let reply) = answer else {
          throw APIError(code: "internal", message: "netloom-probe answered something else")
        }
        traffic.end(reply)
      } catch {
        traffic.end(request.id, error: (error as? APIError)?.message ?? "\(error)")
      }
      wakeAll(.traffic)
    }
  }

  /// An account of what runs, from the probe.
  func trafficGoesOn(_ reply: NLTrafficReply) { traffic.note(reply) }

  /// Throws `APIError` `not-found`. What has ended is told again.
  public func stopTraffic(_ id: UInt64) async throws -> TrafficState {
    guard let state = traffic[id] else { throw noTraffic(id) }
    guard state.running else { return state }
    var stop = NLStopTraffic()
    stop.id = id
    if let probe { connections[probe]?.send(.stopTraffic(stop)) }
    // What is on its way is waited for by the probe; one that is gone has answered by that.
    let deadline = Instant.now + .seconds(10)
    while traffic[id]?.running == true, Instant.now < deadline { await wait(for: .traffic, until: deadline) }
    guard let ended = traffic[id] else { throw noTraffic(id) }
    guard !ended.running else {
      throw APIError(code: "timeout", message: "netloom-probe did not end traffic \(id) in time")
    }
    return ended
  }

  private func noTraffic(_ id: UInt64) -> APIError {
    APIError(code: "not-found", message: "no traffic \(id) runs, or ended lately")
  }

  /// In order of their start.
  public func trafficStates() -> [TrafficState] { traffic.all }
}

/// What runs, and the last of what ended.
struct TrafficBook: Sendable {
  private var states: [UInt64: TrafficState] = [:]
  private var ended: [UInt64] = []
  private var last: UInt64 = 0

  static let remembered = 100

  var running: Int { states.count - ended.count }
  var all: [TrafficState] { states.values.sorted { $0.id < $1.id } }

  subscript(id: UInt64) -> TrafficState? { states[id] }

  mutating func add(_ query: TrafficQuery) -> TrafficState {
    last += 1
    let state = TrafficState(id: last, query: query, running: true)
    states[last] = state
    return state
  }

  /// What it has come to so far.
  mutating func note(_ reply: NLTrafficReply) {
    guard states[reply.id]?.running == true else { return }
    states[reply.id]?.result = TrafficResult(reply)
  }

  mutating func end(_ reply: NLTrafficReply) {
    // What never sent has nothing to tell but why.
    let result = reply.packetsSent == 0 && !reply.error.isEmpty ? nil : TrafficResult(reply)
    end(reply.id, error: reply.error.nonEmpty, result: result)
  }

  /// Where nobody is left to tell more, what was told last stands.
  mutating func end(_ id: UInt64, error: String?, result: TrafficResult? = nil) {
    guard var state = states[id], state.running else { return }
    state.running = false
    state.error = error
    state.result = result ?? state.result
    states[id] = state
    ended.append(id)
    guard ended.count > Self.remembered else { return }
    states[ended.removeFirst()] = nil
  }
}

extension TrafficResult {
  init(_ reply: NLTrafficReply) {
    self.init(
      reachable: reply.reachable, packetsSent: reply.packetsSent, packetsReceived: reply.packetsReceived,
      lost: reply.packetsSent - min(reply.packetsSent, reply.packetsReceived), duplicates: reply.duplicates,
      reordered: reply.reordered, bytes: reply.bytes,
      mbit: reply.seconds > 0 ? Double(reply.bytes) * 8 / reply.seconds / 1e6 : 0, seconds: reply.seconds,
      delay: reply.packetsReceived == 0
        ? nil : DelaySummary(min: reply.delayMinMs, median: reply.delayMedianMs, p99: reply.delayP99Ms),
      outages: reply.outages.map { outage in
        TrafficOutage(
          startedAt: Double(outage.startNs) / 1e6,
          ms: Double(outage.endNs > outage.startNs ? outage.endNs - outage.startNs : 0) / 1e6, lost: outage.lost)
      },
      intervals: reply.intervals.map { RateInterval(bytes: $0.bytes, lost: $0.lost, delayMs: $0.delayMs) },
      startedAt: Double(reply.startedNs) / 1e6)
  }
}
