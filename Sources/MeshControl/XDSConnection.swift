// One connection of a client: HTTP/2 without TLS, prior knowledge, on which the client opens the one call that there is.
internal import EventLoop
internal import HTTP2

/// Belongs to the server's thread.
final class XDSConnection {
  private enum Limit {
    /// Output that may wait for a client before nothing more is read from it.
    static let output = 1 << 20
    /// A connection without a call is closed after this, nanoseconds.
    static let idle: UInt64 = 10_000_000_000
  }

  unowned let server: XDSService
  let number: UInt64
  let admission: XDSAdmission
  let session: HTTP2Session
  private let stream: StreamConnection
  private lazy var idle = LoopTimer(server.loop) { [weak self] in self?.close() }
  private(set) var calls: [StreamID: DiscoveryStream] = [:]
  private var output: [UInt8] = []
  private var isClosed = false

  init(_ socket: consuming FileDescriptor, _ number: UInt64, _ admission: XDSAdmission, _ server: XDSService)
    throws(SystemError)
  {
    self.server = server
    self.number = number
    self.admission = admission
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 4
    settings.initialWindow = 1 << 18
    settings.maxHeaderListBytes = 16_384
    session = HTTP2Session(.server, settings: settings)
    stream = try StreamConnection(server.loop, socket)
    session.onEvent = { [weak self] event in self?.handle(event) }
    stream.onBytes = { [weak self] bytes in self?.receive(bytes) }
    stream.onDrained = { [weak self] in self?.flush() }
    stream.onClose = { [weak self] _ in self?.close() }
    idle.arm(after: Limit.idle)
    flush()
  }

  func close() {
    if isClosed { return }
    isClosed = true
    idle.cancel()
    stream.close()
    let open = calls.values
    calls = [:]
    for call in open { call.closed() }
    server.closed(self)
  }

  /// Writes what the session has, until enough waits.
  func flush() {
    while !isClosed, session.wantsWrite, stream.queued < Limit.output {
      output.removeAll(keepingCapacity: true)
      session.pullOutput(into: &output)
      if output.isEmpty { break }
      stream.send(output)
    }
    if output.capacity > 1 << 18 { output = [] }
    if isClosed { return }
    if session.isFinished, stream.queued == 0 { return close() }
    if session.queuedBytes + stream.queued > Limit.output { stream.pauseReading() } else { stream.resumeReading() }
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    do throws(HTTP2Failure) {
      try session.receive(bytes, now: server.loop.now)
    } catch {
      flush()  // the GOAWAY that says why
      return close()
    }
    flush()
  }

  private func handle(_ event: HTTP2Event) {
    switch event {
    case .head(let id, let fields, let endStream): open(id, fields, endStream)
    case .data(let id, let bytes, let endStream): calls[id]?.receive(bytes, endStream: endStream)
    case .trailers(let id, _): calls[id]?.receive(UnsafeRawBufferPointer(start: nil, count: 0), endStream: true)
    case .closed(let id, _):
      calls.removeValue(forKey: id)?.closed()
      if calls.isEmpty, !isClosed { idle.arm(after: Limit.idle) }
    default: break
    }
  }

  private func open(_ id: StreamID, _ fields: FieldList, _ endStream: Bool) {
    func value(_ name: String) -> String? { fields.first { $0.name == name }?.text }
    guard value(":method") == "POST", value("content-type")?.hasPrefix("application/grpc") == true else {
      // What is no gRPC gets an HTTP status (PROTOCOL-HTTP2, "Requests").
      _ = try? session.submitResponse(id, [HeaderField(":status", "415")], endStream: true)
      return
    }
    let call = DiscoveryStream(id, server.nextNumber(), self)
    guard value(":path") == DiscoveryStream.path else {
      return call.end(StreamRefusal(code: .unimplemented, message: "the only method is \(DiscoveryStream.path)"))
    }
    calls[id] = call
    idle.cancel()
    if endStream { call.receive(UnsafeRawBufferPointer(start: nil, count: 0), endStream: true) }
  }
}
