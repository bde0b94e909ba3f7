// One connection to the control plane, with the one call that is made on it: HTTP/2 without TLS over a unix socket
// (prior knowledge, RFC 9113 section 3.3), gRPC's framing, StreamAggregatedResources.
import EventLoop
import HTTP2

/// Belongs to its loop's thread. Ends once, and says why.
final class DiscoveryConnection {
  private static let path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
  /// A response that is longer ends the call: tens of thousands of resources.
  private static let longestResponse = 32 << 20

  private let loop: EventLoop
  private let session: HTTP2Session
  private let stream: StreamConnection
  private var call: StreamID = 0
  private var decoder = GRPCMessageDecoder(maximumMessageBytes: DiscoveryConnection.longestResponse)
  private var output: [UInt8] = []
  private var isOver = false
  /// A message of the call.
  var onMessage: ([UInt8]) -> Void = { _ in }
  /// The call or the connection has ended; in words.
  var onEnd: (String) -> Void = { _ in }

  init(_ loop: EventLoop, _ path: String) throws {
    self.loop = loop
    var settings = HTTP2Settings()
    settings.initialWindow = 1 << 20
    settings.connectionWindow = 1 << 20
    session = HTTP2Session(.client, settings: settings)
    stream = try StreamConnection(loop, try UnixSocket.connect(path))
    call = try session.submitRequest(
      [
        HeaderField(":method", "POST"), HeaderField(":scheme", "http"), HeaderField(":authority", "xds"),
        HeaderField(":path", Self.path), HeaderField("content-type", "application/grpc"), HeaderField("te", "trailers"),
        HeaderField("user-agent", "netloom-sidecar"),
      ], endStream: false)
    session.onEvent = { [weak self] event in self?.handle(event) }
    stream.onBytes = { [weak self] bytes in self?.receive(bytes) }
    stream.onDrained = { [weak self] in self?.flush() }
    stream.onClose = { [weak self] error in self?.end(error?.text ?? "the connection was closed") }
  }

  func send(_ message: [UInt8]) {
    if isOver { return }
    do throws(HTTP2SubmitError) {
      try session.send(call, GRPCFraming.frame(message), endStream: false)
    } catch {
      return end("the call takes no requests")
    }
  }

  /// Writes what has been sent.
  func flush() {
    while !isOver, session.wantsWrite, stream.queued < 1 << 20 {
      output.removeAll(keepingCapacity: true)
      session.pullOutput(into: &output)
      if output.isEmpty { break }
      stream.send(output)
    }
    if !isOver, session.isFinished { end("the connection was finished") }
  }

  /// Ends it without a word to anybody here.
  func close() {
    isOver = true
    stream.close()
  }

  private func end(_ reason: String) {
    if isOver { return }
    close()
    // Whoever is told may let go of this object, which may be in the middle of an event.
    let onEnd = self.onEnd
    loop.enqueue { [self] in withExtendedLifetime(self) { onEnd(reason) } }
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    do throws(HTTP2Failure) {
      try session.receive(bytes, now: loop.now)
    } catch {
      flush()
      return end("HTTP/2: \(error.reason)")
    }
    flush()
  }

  private func handle(_ event: HTTP2Event) {
    switch event {
    case .head(call, let fields, let endStream): head(fields, endStream)
    case .data(call, let bytes, _): data(bytes)
    case .trailers(call, let fields): finish(fields)
    case .closed(call, let code): end("the call was ended (HTTP/2 error \(code.rawValue))")
    default: break
    }
  }

  private func head(_ fields: FieldList, _ endStream: Bool) {
    if endStream { return finish(fields) }
    let status = fields.first { $0.name == ":status" }?.text ?? ""
    if status != "200" { end("HTTP status \(status.prefix(20))") }
  }

  private func data(_ bytes: UnsafeRawBufferPointer) {
    if isOver { return }
    decoder.append(bytes)
    session.consumed(call, bytes.count)
    do throws(GRPCFramingError) {
      while !isOver, let message = try decoder.next() { onMessage(message) }
    } catch {
      end("gRPC framing: \(error)")
    }
  }

  private func finish(_ fields: FieldList) {
    func value(_ name: String) -> String? { fields.first { $0.name == name }?.text }
    let message = value("grpc-message").map { ": \($0.prefix(500))" } ?? ""
    end("gRPC status \((value("grpc-status") ?? "is missing").prefix(20))\(message)")
  }
}
