// Follows the control plane: connects, subscribes, puts in force what comes, connects again when the connection is lost.
// While the control plane is away the sidecar goes on with what it has.
//
//   DiscoveryConnection ──message──► DiscoverySession ──configuration──► Sidecar.apply (every worker, at once)
//            ▲                              │
//            └──────────requests────────────┘
import EventLoop
import SwiftProtobuf
import XDS

/// Belongs to its loop's thread.
final class DiscoveryClient {
  enum Limit {
    /// Nanoseconds between two attempts to connect: the first, and the most.
    static let firstPause: UInt64 = 100_000_000
    static let longestPause: UInt64 = 5_000_000_000
    /// Nanoseconds that listeners and routes may wait for what they refer to before they are refused.
    static let warming: UInt64 = 5_000_000_000
  }

  private let loop: EventLoop
  private let path: String
  private let sidecar: Sidecar
  private let report: (String) -> Void
  private(set) var session: DiscoverySession
  private var connection: DiscoveryConnection?
  private var pause = Limit.firstPause
  private var random = FastRandom()
  private var reportedEnd: String?
  private lazy var retry = LoopTimer(loop) { [weak self] in self?.connect() }
  private lazy var patience = LoopTimer(loop) { [weak self] in self?.giveUpWaiting() }
  /// Called once, when everything that the control plane has said is in force and listened on.
  var onReady: (() -> Void)?

  /// - Parameters:
  ///   - path: of the control plane's unix socket.
  ///   - report: gets a line where the control plane goes away, comes back, or says what cannot be done.
  init(
    _ loop: EventLoop, _ path: String, _ session: DiscoverySession, _ sidecar: Sidecar,
    report: @escaping (String) -> Void
  ) {
    self.loop = loop
    self.path = path
    self.session = session
    self.sidecar = sidecar
    self.report = report
  }

  var isConnected: Bool { connection != nil }

  func start() { connect() }

  func stop() {
    retry.cancel()
    patience.cancel()
    connection?.close()
    connection = nil
  }

  // MARK: Connection

  private func connect() {
    do {
      let made = try DiscoveryConnection(loop, path)
      connection = made
      made.onMessage = { [weak self] in self?.receive($0) }
      made.onEnd = { [weak self] in self?.lost($0) }
      send(session.begin())
    } catch {
      lost("\(error)")
    }
  }

  private func lost(_ reason: String) {
    connection = nil
    patience.cancel()
    if reportedEnd != reason {
      reportedEnd = reason
      let version = session.configuration.version
      report("control plane: \(reason)\(version.isEmpty ? "" : "; going on with version \(version)")")
    }
    // Many sidecars of one control plane shall not all come back at the same moment.
    retry.arm(after: UInt64.random(in: (pause / 2)...pause, using: &random))
    pause = min(pause * 2, Limit.longestPause)
  }

  private func send(_ requests: [EnvoyDiscoveryRequest]) {
    for request in requests {
      if request.hasErrorDetail { report("refused: \(request.errorDetail.message)") }
      guard let bytes: [UInt8] = try? request.serializedBytes() else { continue }
      connection?.send(bytes)
    }
    connection?.flush()
  }

  // MARK: Responses

  private func receive(_ message: [UInt8]) {
    guard let response = try? EnvoyDiscoveryResponse(serializedBytes: message) else {
      connection?.close()
      return lost("sent something that is no DiscoveryResponse")
    }
    pause = Limit.firstPause
    if reportedEnd != nil {
      reportedEnd = nil
      report("control plane: connected")
    }
    let requests = session.receive(response) { try sidecar.apply($0) }
    send(requests)
    if session.isWarming {
      if !patience.isArmed { patience.arm(after: Limit.warming) }
    } else {
      patience.cancel()
    }
    if session.isComplete, let ready = onReady {
      onReady = nil
      ready()
    }
  }

  private func giveUpWaiting() { send(session.giveUpWaiting()) }
}
