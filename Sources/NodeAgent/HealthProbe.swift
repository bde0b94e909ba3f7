// Asks the pod's own program at intervals whether it serves: a TCP connection, and a GET where the check has a path. The
// answer stands in samples, the controller draws the conclusions.
//
//   every interval: connect to each own address until one answers ─► [GET path, status below 400] ─► good
//                   none answers, or not in time ─► bad
//
// So many bad answers in a row make the pod ill, so many good ones well; before the first verdict nothing is known.

internal import CLinux
internal import ControlProtocol
internal import EventLoop
import Glibc

final class HealthProbe {
  private let loop: EventLoop
  /// The verdict is another one.
  private let onChange: () -> Void
  private(set) var verdict = NLSample.Health.unknown
  private var check: NLHealthCheck?
  private var inRow = (good: UInt32(0), bad: UInt32(0))
  private var candidates: [[UInt8]] = []
  private var socket: Int32 = -1
  private var answer: [UInt8] = []
  private var isAsked = false
  private lazy var interval = LoopTimer(loop) { [weak self] in self?.begin() }
  private lazy var limit = LoopTimer(loop) { [weak self] in self?.end(isGood: false) }

  init(_ loop: EventLoop, onChange: @escaping () -> Void) {
    self.loop = loop
    self.onChange = onChange
  }

  deinit { drop() }

  /// nil: there is nothing to ask.
  func apply(_ new: NLHealthCheck?) {
    guard new != check else { return }
    check = new
    interval.cancel()
    limit.cancel()
    drop()
    inRow = (0, 0)
    conclude(.unknown)
    if new != nil { begin() }
  }

  private func begin() {
    guard let check else { return }
    interval.arm(after: EventLoop.milliseconds(UInt64(max(check.intervalMs, 1))))
    guard socket < 0 else { return }
    limit.arm(after: EventLoop.milliseconds(UInt64(max(check.timeoutMs, 1))))
    candidates = OwnAddresses.all()
    connectNext()
  }

  private func connectNext() {
    drop()
    guard let check, !candidates.isEmpty else { return end(isGood: false) }
    let address = candidates.removeFirst()
    let raw = nl_tcp_socket(Int32(address.count))
    guard raw >= 0 else { return connectNext() }
    socket = raw
    var storage = sockaddr_storage()
    let length = nl_address(&storage, address, Int32(address.count), UInt16(truncatingIfNeeded: check.port), 0)
    let result = withUnsafePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
      }
    }
    guard result == 0 || errno == EINPROGRESS else { return connectNext() }
    do throws(SystemError) {
      try loop.register(raw, .write) { [weak self] _ in self?.ready() }
    } catch {
      end(isGood: false)
    }
  }

  private func ready() {
    guard let check, socket >= 0 else { return }
    if !isAsked {
      guard nl_tcp_error(socket) == 0 else { return connectNext() }
      if check.path.isEmpty { return end(isGood: true) }
      isAsked = true
      let request = Array("GET \(check.path) HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".utf8)
      // It fits into the empty buffer of a new connection.
      guard send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
        return end(isGood: false)
      }
      try? loop.modify(socket, .read)
      return
    }
    let scratch = loop.scratch
    let count = recv(socket, scratch.baseAddress, 256, 0)
    if count < 0, errno == EAGAIN || errno == EINTR { return }
    if count > 0 { answer += Array(scratch[0..<count]) }
    // RFC 9112 section 4: `HTTP/1.1 200 …`
    guard answer.count >= 12 || count <= 0 else { return }
    let line = String(decoding: answer.prefix(12), as: UTF8.self)
    let status = line.hasPrefix("HTTP/1.") ? Int(line.suffix(3)) : nil
    end(isGood: status.map { (200..<400).contains($0) } ?? false)
  }

  private func end(isGood: Bool) {
    limit.cancel()
    drop()
    guard let check else { return }
    inRow = isGood ? (min(inRow.good + 1, 1000), 0) : (0, min(inRow.bad + 1, 1000))
    if inRow.good >= max(check.successes, 1) { conclude(.well) }
    if inRow.bad >= max(check.failures, 1) { conclude(.ill) }
  }

  private func conclude(_ new: NLSample.Health) {
    guard new != verdict else { return }
    verdict = new
    onChange()
  }

  private func drop() {
    isAsked = false
    answer = []
    guard socket >= 0 else { return }
    loop.unregister(socket)
    _ = close(socket)
    socket = -1
  }
}
