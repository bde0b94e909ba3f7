import HTTP1
import HTTP2

/// One request of a client's connection, and its response.
final class HTTP2ServerStream: DownstreamStream {
  private let connection: HTTP2ServerConnection
  private let id: StreamID
  private var exchange: Exchange?
  /// Content that the exchange does not take yet; its bytes keep the client's window shut.
  private var pending: [UInt8] = []
  private var inputEnded: Bool
  private var endPassed: Bool
  private var trailers: HeaderFields?
  private var outputEnded = false
  private var awaitsDrain = false
  /// Bytes of content that have come to be sent.
  private var taken: UInt64 = 0
  private var standstill = Standstill()

  init(_ connection: HTTP2ServerConnection, _ id: StreamID, endStream: Bool) {
    self.connection = connection
    self.id = id
    inputEnded = endStream
    endPassed = endStream
  }

  private var session: HTTP2Session { connection.transport.session }

  func begin(_ exchange: Exchange) {
    self.exchange = exchange
    exchange.start()
  }

  // MARK: The request

  func receive(_ bytes: UnsafeRawBufferPointer, endStream: Bool) {
    if endStream { inputEnded = true }
    guard let exchange else { return session.consumed(id, bytes.count) }
    if !bytes.isEmpty {
      if pending.isEmpty, exchange.acceptsBody {
        exchange.requestBody(bytes)
        session.consumed(id, bytes.count)
      } else {
        pending.append(contentsOf: bytes)
      }
    }
    if endStream { pass() }
  }

  func receive(trailers list: FieldList) {
    do throws(HTTP1Failure) {
      trailers = try HeaderFields.trailers(list)
      receive(UnsafeRawBufferPointer(start: nil, count: 0), endStream: true)
    } catch {
      fail(.protocolError)
    }
  }

  private func pass() {
    while !pending.isEmpty, let exchange, exchange.acceptsBody {
      let taken = pending
      pending = []
      taken.withUnsafeBytes { exchange.requestBody($0) }
      session.consumed(id, taken.count)
      connection.transport.scheduleFlush()
    }
    guard inputEnded, !endPassed, pending.isEmpty, let exchange, exchange.acceptsBody else { return }
    endPassed = true
    exchange.requestEnd(trailers)
  }

  func resumeRequest() { pass() }
  func pauseRequest() {}

  /// The stream is no more.
  func closed() {
    pending = []
    let exchange = self.exchange
    self.exchange = nil
    exchange?.requestAborted()
  }

  /// Ends it with an error.
  func fail(_ code: HTTP2ErrorCode) {
    session.reset(id, code)
    connection.transport.scheduleFlush()
    closed()
  }

  // MARK: The response

  var peerIdentity: String? { connection.peerIdentity }
  var peerAddress: SocketAddress? { connection.peerAddress }

  func sendInterim(_ head: ResponseHead) {
    guard !outputEnded else { return }
    try? session.submitInformational(id, head.fieldList)
    connection.transport.scheduleFlush()
  }

  func sendHead(_ head: ResponseHead) {
    // HTTP/2 has no change of protocols (RFC 9113 section 8.6).
    guard head.status != 101 else { return fail(.internalError) }
    outputEnded = head.framing == .none
    if outputEnded { endAfterResponse() }
    do throws(HTTP2SubmitError) {
      try session.submitResponse(id, head.fieldList, endStream: outputEnded)
    } catch {
      // A head that the client does not take, or a stream that is ending.
      outputEnded = true
      session.reset(id, .internalError)
    }
    connection.transport.scheduleFlush()
  }

  func sendBody(_ bytes: UnsafeRawBufferPointer) {
    guard !outputEnded, !bytes.isEmpty else { return }
    taken &+= UInt64(bytes.count)
    _ = try? session.send(id, bytes, endStream: false)
    connection.transport.scheduleFlush()
  }

  func sendEnd(_ trailers: HeaderFields?) {
    exchange = nil
    pending = []
    connection.transport.scheduleFlush()
    guard !outputEnded else { return }
    outputEnded = true
    endAfterResponse()
    do throws(HTTP2SubmitError) {
      if let trailers {
        try session.submitTrailers(id, trailers.trailerList)
      } else {
        _ = try session.send(id, UnsafeRawBufferPointer(start: nil, count: 0), endStream: true)
      }
    } catch {
      session.reset(id, .internalError)
    }
  }

  /// Nobody wants the rest of a request that has been answered.
  private func endAfterResponse() { if !inputEnded { session.resetAfterEnd(id) } }

  func abortResponse() {
    exchange = nil
    pending = []
    outputEnded = true
    session.reset(id, .internalError)
    connection.transport.scheduleFlush()
  }

  var queued: Int { session.queuedBytes(id) }
  func awaitDrain() { awaitsDrain = true }

  func drained() {
    guard awaitsDrain else { return }
    awaitsDrain = false
    exchange?.downstreamDrained()
  }

  /// Whether what waits stands still, see `Standstill`.
  func isStuck() -> Bool {
    let waiting = queued
    return standstill.look(waiting: waiting, gone: taken &- UInt64(waiting))
  }
}
