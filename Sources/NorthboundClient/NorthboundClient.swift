// The typed client of a lab's northbound API: HTTP/1.1 with JSON over the unix socket in the lab's run directory.
//
// One connection per request: a unix socket costs microseconds to connect, and a controller that was restarted
// between two requests is then nobody's concern. While netloom-machine restarts a crashed controller nothing accepts
// connections; requests wait for it up to `patience`. A request that was under way when the controller died is
// repeated only if it changes nothing (GET).

internal import FoundationEssentials
public import NorthboundAPI

public struct NorthboundClient: LabAPI {
  /// Path of the lab's `api.sock`.
  public let socket: String
  /// How long a controller may take to come back after a crash.
  public let patience: Duration

  public init(socket: String, patience: Duration = .seconds(3)) {
    self.socket = socket
    self.patience = patience
  }

  public func status() async throws -> Status {
    try await get("/v1/status")
  }

  public func progress(seen: UInt64, wait: Duration) async throws -> Progress {
    try await get(
      "/v1/progress", ["seen": "\(seen)", "wait-ms": "\(wait.inMilliseconds)"], timeout: wait + .seconds(5))
  }

  public func topology() async throws -> LabTopology {
    try await get("/v1/topology")
  }

  public func converged(within limit: Duration) async throws -> Convergence {
    try await get(
      "/v1/converged", ["timeout-ms": "\(limit.inMilliseconds)"], timeout: limit + .seconds(5))
  }

  public func events(since: UInt64) async throws -> [LabEvent] {
    try await get("/v1/events", ["since": "\(since)"])
  }

  public func routes(of node: String, prefix: String?) async throws -> [KernelRoute] {
    try await get("/v1/nodes/\(escaped(node))/routes", ["prefix": prefix])
  }

  public func bgp(
    of node: String, prefix: String?, neighbor: String?, limit: UInt32, offset: UInt32
  ) async throws -> BGPTable {
    try await get(
      "/v1/nodes/\(escaped(node))/bgp",
      ["prefix": prefix, "neighbor": neighbor, "limit": "\(limit)", "offset": "\(offset)"])
  }

  public func neighbors(of node: String) async throws -> [NeighborDetail] {
    try await get("/v1/nodes/\(escaped(node))/neighbors")
  }

  public func links(of node: String) async throws -> [LinkDetail] {
    try await get("/v1/nodes/\(escaped(node))/links")
  }

  public func explain(node: String, prefix: String) async throws -> RouteExplanation {
    try await get("/v1/nodes/\(escaped(node))/explain", ["prefix": prefix])
  }

  public func trace(_ query: TraceQuery) async throws -> Trace {
    try await post("/v1/trace", query, timeout: .seconds(30 + Int(query.count ?? 1)))
  }

  public func capturePoints(_ selection: [String]) async throws -> [CapturePointInfo] {
    let query = selection.map { "select=" + escaped($0) }.joined(separator: "&")
    return try await exchange(.GET, query.isEmpty ? "/v1/capture-points" : "/v1/capture-points?" + query)
  }

  public func exec(_ command: ExecCommand, in node: String) async throws -> ExecResult {
    try await post(
      "/v1/nodes/\(escaped(node))/exec", command, timeout: .milliseconds(Int64(command.timeoutMs)) + .seconds(5))
  }

  public func setImage(_ request: ImageRequest, of node: String) async throws -> ImageReply {
    // Beside the change itself: the mesh is drained before, and what ran before is started again after a failure.
    let change = Duration.seconds(max(0, min(request.within ?? 30, 3600)))
    return try await post("/v1/nodes/\(escaped(node))/image", request, timeout: change + .seconds(60))
  }

  public func fault(_ command: FaultCommand) async throws {
    do {
      let _: Done = try await post("/v1/faults", command)
    } catch ClientError.interrupted where command.kind == "kill-controller" {
      // It could not answer: that is what was asked for.
    }
  }

  public func mend() async throws {
    let _: Done = try await post("/v1/mend")
  }

  public func noTransit(_ query: NoTransitQuery) async throws -> NoTransitResult {
    try await post("/v1/checks/no-transit", query, timeout: .seconds(120))
  }

  public func check(_ query: CheckQuery) async throws -> CheckReport {
    try await post("/v1/check", query, timeout: .seconds(600))
  }

  public func startTraffic(_ query: TrafficQuery) async throws -> TrafficState {
    try await post("/v1/traffic", query)
  }

  public func stopTraffic(_ id: UInt64) async throws -> TrafficState {
    try await post("/v1/traffic/\(id)/stop")
  }

  public func traffic() async throws -> [TrafficState] {
    try await get("/v1/traffic")
  }

  public func flows(_ query: FlowsQuery) async throws -> LiveFlows {
    try await post("/v1/flows", query, timeout: .milliseconds(query.durationMs) + .seconds(30))
  }
}

extension NorthboundClient {
  /// Most endpoints answer from memory or from one question to a node.
  static let usualTimeout = Duration.seconds(15)

  func get<Answer: Decodable>(
    _ path: String, _ query: [String: String?] = [:], timeout: Duration = usualTimeout
  ) async throws -> Answer {
    let pairs = query.compactMap { key, value in value.map { "\(key)=\(escaped($0))" } }.sorted()
    let target = pairs.isEmpty ? path : path + "?" + pairs.joined(separator: "&")
    return try await exchange(.GET, target, timeout: timeout)
  }

  func post<Answer: Decodable>(
    _ path: String, _ question: some Encodable, timeout: Duration = usualTimeout
  ) async throws -> Answer {
    try await exchange(.POST, path, body: Array(JSONEncoder().encode(question)), timeout: timeout)
  }

  /// A command that says everything by its path.
  func post<Answer: Decodable>(_ path: String, timeout: Duration = usualTimeout) async throws -> Answer {
    try await exchange(.POST, path, body: [], timeout: timeout)
  }

  private func exchange<Answer: Decodable>(
    _ method: HTTPExchange.Method, _ target: String, body: [UInt8]? = nil, timeout: Duration = usualTimeout
  ) async throws -> Answer {
    let request = HTTPExchange(socket: socket, method: method, target: target, body: body)
    let response = try await answer(to: request, timeout: timeout)
    let data = Data(response.body)
    guard response.status == 200 else {
      if let refusal = try? JSONDecoder().decode(APIError.self, from: data) { throw refusal }
      throw ClientError.malformed(path: target, reason: "HTTP status \(response.status)")
    }
    do {
      return try JSONDecoder().decode(Answer.self, from: data)
    } catch {
      throw ClientError.malformed(path: target, reason: "\(error)")
    }
  }

  /// Sends the request, again while the controller is being restarted.
  private func answer(to request: HTTPExchange, timeout: Duration) async throws -> HTTPExchange.Response {
    let clock = ContinuousClock()
    let patienceEnds = clock.now + patience
    while true {
      do {
        return try await request.run(timeout: timeout)
      } catch let error as ClientError {
        let worthRepeating =
          switch error {
          case .unreachable: true
          case .interrupted: request.method == .GET
          case .timedOut, .malformed: false
          }
        guard worthRepeating, clock.now < patienceEnds else { throw error }
        try await clock.sleep(for: .milliseconds(5))
      }
    }
  }
}

extension Duration {
  /// Whole milliseconds, never negative.
  fileprivate var inMilliseconds: Int64 {
    max(0, components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000)
  }
}

/// Percent-encoding for a path segment or a query value (RFC 3986 section 2.3: only unreserved characters stay).
func escaped(_ text: String) -> String {
  var result = ""
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
      UInt8(ascii: "~"):
      result.unicodeScalars.append(Unicode.Scalar(byte))
    default:
      let digits = String(byte, radix: 16, uppercase: true)
      result += digits.count == 1 ? "%0" + digits : "%" + digits
    }
  }
  return result
}
