import HTTP1
import HTTP2

/// One request to an endpoint and its response, on a connection that carries others too.
final class HTTP2ClientStream: UpstreamStream {
  private let connection: HTTP2ClientConnection
  private(set) var exchange: Exchange?
  /// 0: not opened.
  private(set) var id: StreamID = 0
  private(set) var isReused: Bool
  /// Content that the exchange does not take yet; its bytes keep the server's window shut.
  private var pending: [UInt8] = []
  private var isPaused = false
  private var isPassing = false
  private var requestEnded = false
  private var responseEnded = false
  private var hasHead = false
  private var trailers: HeaderFields?
  private var awaitsDrain = false
  /// What the connection had received when the request left.
  private var receivedBefore: UInt64 = 0

  init(_ connection: HTTP2ClientConnection, _ exchange: Exchange, isReused: Bool) {
    self.connection = connection
    self.exchange = exchange
    self.isReused = isReused
  }

  private var session: HTTP2Session { connection.transport.session }
  var peerIdentity: String? { connection.transport.peerIdentity }

  // MARK: The request

  func sendHead(_ head: RequestHead) {
    requestEnded = head.framing == .none
    do throws(HTTP2SubmitError) {
      id = try session.submitRequest(head.fieldList, endStream: requestEnded)
      connection.opened(self, id)
      receivedBefore = connection.received
    } catch {
      // Another connection may take it, unless it is the request's own fault.
      switch error {
      case .streamsExhausted, .goingAway, .finished, .identifiersExhausted: isReused = true
      default: break
      }
      // Whoever is sending hears of it when he has finished.
      let reason = "request: \(error)"
      connection.later { [self] in failed(reason, neverSent: true) }
    }
    connection.transport.scheduleFlush()
  }

  func sendBody(_ bytes: UnsafeRawBufferPointer) {
    guard id != 0, !bytes.isEmpty else { return }
    _ = try? session.send(id, bytes, endStream: false)
    connection.transport.scheduleFlush()
  }

  func sendEnd(_ trailers: HeaderFields?) {
    guard id != 0, !requestEnded else { return }
    requestEnded = true
    if let trailers {
      try? session.submitTrailers(id, trailers.trailerList)
    } else {
      _ = try? session.send(id, UnsafeRawBufferPointer(start: nil, count: 0), endStream: true)
    }
    connection.transport.scheduleFlush()
  }

  func cancel() {
    exchange = nil
    pending = []
    if id == 0 { return connection.withdraw(self) }
    session.reset(id, .cancel)
    // Nothing at all has come since: the server may be gone without a word, and everybody uses its connection.
    if !hasHead, connection.received == receivedBefore { connection.probe() }
    connection.transport.scheduleFlush()
  }

  var queued: Int { session.queuedBytes(id) }
  func awaitDrain() { awaitsDrain = true }

  func drained() {
    guard awaitsDrain else { return }
    awaitsDrain = false
    exchange?.upstreamDrained()
  }

  // MARK: The response

  func receive(interim list: FieldList) {
    guard let exchange, let head = try? ResponseHead(list, endStream: false) else { return }
    exchange.responseInterim(head)
  }

  func receive(head list: FieldList, endStream: Bool) {
    guard let exchange else { return }
    do throws(HTTP1Failure) {
      let head = try ResponseHead(list, endStream: endStream)
      hasHead = true
      exchange.responseHead(head)
    } catch {
      session.reset(id, .protocolError)
      return failed("invalid-response-\(error.rawValue)", neverSent: false)
    }
    if endStream { end(nil) }
  }

  func receive(_ bytes: UnsafeRawBufferPointer, endStream: Bool) {
    guard let exchange else { return session.consumed(id, bytes.count) }
    if !bytes.isEmpty {
      if pending.isEmpty, !isPaused {
        exchange.responseBody(bytes)
        session.consumed(id, bytes.count)
      } else {
        pending.append(contentsOf: bytes)
      }
    }
    if endStream { end(nil) }
  }

  func receive(trailers list: FieldList) {
    do throws(HTTP1Failure) {
      end(try HeaderFields.trailers(list))
    } catch {
      session.reset(id, .protocolError)
      failed("invalid-response-\(error.rawValue)", neverSent: false)
    }
  }

  func pauseResponse() { isPaused = true }

  func resumeResponse() {
    isPaused = false
    pass()
  }

  private func pass() {
    guard !isPassing else { return }
    isPassing = true
    while !pending.isEmpty, !isPaused, let exchange {
      let taken = pending
      pending = []
      taken.withUnsafeBytes { exchange.responseBody($0) }
      session.consumed(id, taken.count)
      connection.transport.scheduleFlush()
    }
    isPassing = false
    if responseEnded, pending.isEmpty { finish() }
  }

  private func end(_ trailers: HeaderFields?) {
    responseEnded = true
    self.trailers = trailers
    if pending.isEmpty { finish() }
  }

  private func finish() {
    guard let exchange else { return }
    self.exchange = nil
    // The server has said everything without waiting for the rest of the request.
    if !requestEnded {
      session.reset(id, .cancel)
      connection.transport.scheduleFlush()
    }
    exchange.responseEnd(trailers)
  }

  /// The stream is no more. What has come whole still goes to the client.
  func closed(_ code: HTTP2ErrorCode) {
    if responseEnded { return }
    guard code == .refusedStream, !hasHead else { return failed("stream-ended-by-\(code)", neverSent: false) }
    // The server has done nothing (RFC 9113 section 8.7). What it sent along, new limits or GOAWAY, says where to ask again.
    isReused = true
    connection.later { [self] in failed("stream-ended-by-\(code)", neverSent: true) }
  }

  func failed(_ reason: String, neverSent: Bool, isConnect: Bool = false) {
    guard let exchange else { return }
    self.exchange = nil
    pending = []
    exchange.upstreamFailed(reason, neverSent: neverSent && !hasHead, isConnect: isConnect)
  }
}
