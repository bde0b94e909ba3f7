import EventLoop

/// Asks a port of the node until it answers: a connection, or a GET that is answered with 200 to 399.
final class ReadyProbe {
  private let loop: EventLoop
  private let network: Int32
  private let port: UInt16
  private let path: String?
  private let done: () -> Void
  private var request: LoopbackRequest?
  private var timer: LoopTimer?
  private var attempts: UInt64 = 0
  private var isOver = false
  /// Why it is not ready, for who waits in vain.
  private(set) var obstacle = "nothing was asked yet"

  /// `done` is called once, unless `cancel` comes first.
  init(_ loop: EventLoop, network: Int32, port: UInt16, path: String?, done: @escaping () -> Void) {
    self.loop = loop
    self.network = network
    self.port = port
    self.path = path
    self.done = done
  }

  deinit { cancel() }

  func start() { attempt() }

  func cancel() {
    isOver = true
    timer?.cancel()
    request?.cancel()
    request = nil
  }

  /// IPv4 and IPv6 in turn: a program may listen on one alone.
  private func attempt() {
    guard !isOver else { return }
    attempts += 1
    do throws(SystemError) {
      request = try LoopbackRequest(
        loop, network: network, port: port, isIPv6: attempts % 2 == 0, path: path
      ) { [weak self] in self?.judge($0) }
    } catch {
      again(error.text)
    }
  }

  private func judge(_ outcome: LoopbackRequest.Outcome) {
    guard !isOver else { return }
    switch outcome {
    case .connected, .answered(status: 200...399, body: _):
      cancel()
      done()
    case .answered(let status, _): again("\(path ?? "/") answers \(status)")
    case .failed(let reason): again("port \(port): \(reason)")
    }
  }

  private func again(_ reason: String) {
    // Of two families one is never there for many programs; what the other says counts for more.
    if obstacle.hasPrefix("nothing") || !reason.hasSuffix("refused") { obstacle = reason }
    // 5 ms while a program starts, up to 100 ms for one that takes its time.
    timer = loop.after(min(5_000_000 * (1 + attempts / 8), 100_000_000)) { [weak self] in self?.attempt() }
  }
}
