import EventLoop

/// Waits until the sidecar of a pod that gets no new requests has none under way any more: it is asked by its admin port.
/// A pod without a sidecar cannot be asked, and gets a moment.
final class DrainWait {
  private let loop: EventLoop
  private let network: Int32
  private let sidecar: String
  private let deadline: UInt64
  private let done: () -> Void
  private var request: LoopbackRequest?
  private var timer: LoopTimer?
  private var quiet = 0

  private static let port: UInt16 = 15000
  /// Answers of "nothing" one after the other: what a client had sent when it heard of the change has arrived by then.
  private static let enough = 4
  private static let pause: UInt64 = 30_000_000

  init(
    _ loop: EventLoop, network: Int32, sidecar: String, atMost limit: UInt64, done: @escaping () -> Void
  ) {
    self.loop = loop
    self.network = network
    self.sidecar = sidecar
    self.done = done
    deadline = EventLoop.clock() + limit
  }

  func start() {
    if Sidecar.isProgram(sidecar) { return ask() }
    timer = loop.after(500_000_000) { [weak self] in self?.done() }
  }

  private func ask() {
    guard EventLoop.clock() < deadline else { return done() }
    let path = sidecar == "envoy" ? "/stats?filter=downstream_rq_active" : "/metrics"
    do throws(SystemError) {
      request = try LoopbackRequest(loop, network: network, port: Self.port, isIPv6: false, path: path) { [weak self] in
        self?.judge($0)
      }
    } catch {
      done()
    }
  }

  private func judge(_ outcome: LoopbackRequest.Outcome) {
    // A sidecar that does not answer carries nothing either.
    guard case .answered(200, let body) = outcome else { return done() }
    let active = sidecar == "envoy" ? Self.activeInEnvoy(body) : Self.active(body)
    quiet = active == 0 ? quiet + 1 : 0
    if quiet >= Self.enough { return done() }
    timer = loop.after(Self.pause) { [weak self] in self?.ask() }
  }

  /// `netloom_active{direction="inbound",…} 3`
  static func active(_ metrics: String) -> Int {
    metrics.split(separator: "\n").reduce(0) { sum, line in
      guard line.hasPrefix("netloom_active{"), line.contains("direction=\"inbound\"") else { return sum }
      return sum + (line.split(separator: " ").last.flatMap { Int($0) } ?? 0)
    }
  }

  /// `http.web.downstream_rq_active: 3`, its own admin port left out.
  static func activeInEnvoy(_ stats: String) -> Int {
    stats.split(separator: "\n").reduce(0) { sum, line in
      guard line.contains("downstream_rq_active: "), !line.hasPrefix("http.admin.") else { return sum }
      return sum + (line.split(separator: " ").last.flatMap { Int($0) } ?? 0)
    }
  }
}
