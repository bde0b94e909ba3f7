internal import ControlProtocol
internal import EventLoop

/// The stream to the controller: envelopes both ways, made again whenever it breaks. A controller that crashed is back
/// within a second or two, and its nodes are to be there at once: so the path is tried every few milliseconds first,
/// then ten times a second for ever.
final class ControllerConnection {
  private let loop: EventLoop
  private let path: String
  private let log: Log
  private var stream: StreamConnection?
  private var reader = FrameReader()
  private var attempts = 0
  private lazy var retry = LoopTimer(loop) { [weak self] in self?.connect() }

  /// The first message of every connection.
  var hello: () -> NLHello = { NLHello() }
  /// Connected, and Hello is on its way.
  var onConnect: () -> Void = {}
  var onMessage: (NLFromController) -> Void = { _ in }

  init(_ loop: EventLoop, path: String, log: Log) {
    self.loop = loop
    self.path = path
    self.log = log
  }

  var isConnected: Bool { stream != nil }
  /// Bytes the controller has not taken yet.
  var queued: Int { stream?.queued ?? 0 }

  func connect() {
    guard stream == nil else { return }
    do throws(SystemError) {
      let connection = try StreamConnection(loop, try UnixSocket.connect(path))
      connection.onBytes = { [weak self] in self?.receive($0) }
      connection.onClose = { [weak self] in self?.closed($0?.description ?? "the controller closed it") }
      stream = connection
      reader = FrameReader()
    } catch {
      return tryLater()
    }
    attempts = 0
    log.info("controller: connected")
    var envelope = NLToController()
    envelope.hello = hello()
    send(envelope)
    onConnect()
  }

  func send(_ envelope: NLToController) {
    guard let stream else { return }
    do throws(FramingError) {
      stream.send(try frame(envelope))
    } catch {
      log.error("controller: a message could not be sent: \(error)")
    }
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    reader.append(bytes)
    do throws(FramingError) {
      while let message = try reader.next(NLFromController.self) { onMessage(message) }
    } catch {
      stream?.close()
      closed("\(error)")
    }
  }

  private func closed(_ reason: String) {
    guard stream != nil else { return }
    stream = nil
    log.warning("controller: connection lost: \(reason)")
    tryLater()
  }

  private func tryLater() {
    attempts += 1
    retry.arm(after: EventLoop.milliseconds(attempts < 10 ? 5 : attempts < 30 ? 20 : 100))
  }
}
