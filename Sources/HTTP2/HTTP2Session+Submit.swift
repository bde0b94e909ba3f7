// What a user asks a session to send. Nothing leaves before the next `pullOutput`.
import CNGHTTP2

// MARK: - Messages

extension HTTP2Session {
  /// Opens a stream with a request.
  /// - Parameter fields: pseudo-header fields first; names in lower case.
  public func submitRequest(_ fields: FieldList, endStream: Bool) throws(HTTP2SubmitError) -> StreamID {
    if isDead || isFinished { throw .finished }
    if role != .client { throw .wrongState }
    if isGoingAway || nghttp2_session_check_request_allowed(session) == 0 { throw .goingAway }
    if openRequests >= peerMaxConcurrentStreams { throw .streamsExhausted }
    try check(fields)
    let id = fields.withFields { fields, count in
      withProvider(endStream) { nghttp2_submit_request(session, nil, fields, count, $0, nil) }
    }
    if id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE.rawValue { throw .identifiersExhausted }
    if id < 0 { throw .library(String(cString: nghttp2_strerror(id))) }
    let stream = HTTP2Stream(isAnnounced: true)
    stream.sending = endStream ? .ended : .open
    streams[id] = stream
    openRequests += 1
    return id
  }

  /// Whether `submitRequest` would open a stream now.
  public var canSubmitRequest: Bool {
    role == .client && !isDead && !isFinished && !isGoingAway && nghttp2_session_check_request_allowed(session) != 0
      && openRequests < peerMaxConcurrentStreams
  }

  /// Streams that the peer allows us at a time.
  public var peerMaxConcurrentStreams: Int {
    guard hasPeerSettings else { return Self.assumedPeerStreams }
    return Int(nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
  }

  /// Sends an interim response (1xx).
  public func submitInformational(_ id: StreamID, _ fields: FieldList) throws(HTTP2SubmitError) {
    guard let stream = streams[id] else { throw .unknownStream }
    guard stream.sending == .idle, !stream.isReset else { throw .wrongState }
    try check(fields)
    let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
    try succeed(
      fields.withFields { nghttp2_submit_headers(session, flags, id, nil, $0, $1, nil) })
  }

  /// Answers a request. Alone, with `endStream`, it is what gRPC calls trailers-only.
  public func submitResponse(_ id: StreamID, _ fields: FieldList, endStream: Bool) throws(HTTP2SubmitError) {
    guard let stream = streams[id] else { throw .unknownStream }
    guard stream.sending == .idle, !stream.isReset else { throw .wrongState }
    try check(fields)
    try succeed(
      fields.withFields { fields, count in
        withProvider(endStream) { nghttp2_submit_response(session, id, fields, count, $0) }
      })
    stream.sending = endStream ? .ended : .open
  }

  /// Queues a piece of the body, without limit: whoever sends looks at the result and waits for `drained`.
  /// - Returns: the bytes that now wait on this stream.
  @discardableResult
  public func send(_ id: StreamID, _ bytes: UnsafeRawBufferPointer, endStream: Bool) throws(HTTP2SubmitError) -> Int {
    guard let stream = streams[id] else { throw .unknownStream }
    guard stream.sending == .open, !stream.isReset else { throw .wrongState }
    stream.queue.append(bytes)
    queuedBytes += bytes.count
    if stream.queue.count > settings.sendLowWater { stream.owesDrained = true }
    if endStream { stream.sending = .ended }
    if endStream || !bytes.isEmpty { resume(id, stream) }
    return stream.queue.count
  }

  /// Queues a piece of the body.
  @discardableResult
  public func send(_ id: StreamID, _ bytes: [UInt8], endStream: Bool) throws(HTTP2SubmitError) -> Int {
    // A closure that throws would lose the error's type.
    let result: Result<Int, HTTP2SubmitError> = bytes.withUnsafeBytes { buffer in
      do throws(HTTP2SubmitError) { return .success(try send(id, buffer, endStream: endStream)) } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Ends the stream with fields after what is queued.
  public func submitTrailers(_ id: StreamID, _ fields: FieldList) throws(HTTP2SubmitError) {
    guard let stream = streams[id] else { throw .unknownStream }
    guard stream.sending == .open, !stream.isReset else { throw .wrongState }
    try check(fields)
    stream.trailers = fields
    stream.sending = .ended
    resume(id, stream)
  }

  /// Bytes that wait on a stream; 0 when it is closed.
  public func queuedBytes(_ id: StreamID) -> Int { streams[id]?.queue.count ?? 0 }

  /// Streams that are not closed, of both ends.
  public var openStreams: Int { streams.count }

  private func resume(_ id: StreamID, _ stream: HTTP2Stream) {
    guard stream.isDeferred else { return }
    stream.isDeferred = false
    nghttp2_session_resume_data(session, id)
  }

  private func withProvider(
    _ endStream: Bool, _ submit: (UnsafePointer<nghttp2_data_provider>?) -> Int32
  ) -> Int32 {
    if endStream { return submit(nil) }
    var provider = nghttp2_data_provider()
    provider.read_callback = { _, stream, _, room, flags, _, user in
      guard let session = HTTP2Session.of(user), let flags else { return 0 }
      return session.nextData(stream, room, flags)
    }
    return submit(&provider)
  }

  private func succeed(_ result: Int32) throws(HTTP2SubmitError) {
    if result != 0 { throw .library(String(cString: nghttp2_strerror(result))) }
  }

  /// nghttp2 checks what it receives, not what it sends.
  private func check(_ fields: FieldList) throws(HTTP2SubmitError) {
    if let wrong = fields.firstInvalid { throw .invalidField(fields[wrong].name) }
    let limit = nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE)
    if fields.listBytes > min(Int(limit), Self.longestHead) { throw .headTooLarge }
  }
}

// MARK: - Messages for people

extension HTTP2Session {
  /// Opens a stream with a request.
  /// - Parameter fields: pseudo-header fields first; names in lower case.
  public func submitRequest(_ fields: [HeaderField], endStream: Bool) throws(HTTP2SubmitError) -> StreamID {
    try submitRequest(FieldList(fields), endStream: endStream)
  }

  /// Sends an interim response (1xx).
  public func submitInformational(_ id: StreamID, _ fields: [HeaderField]) throws(HTTP2SubmitError) {
    try submitInformational(id, FieldList(fields))
  }

  /// Answers a request.
  public func submitResponse(_ id: StreamID, _ fields: [HeaderField], endStream: Bool) throws(HTTP2SubmitError) {
    try submitResponse(id, FieldList(fields), endStream: endStream)
  }

  /// Ends the stream with fields after what is queued.
  public func submitTrailers(_ id: StreamID, _ fields: [HeaderField]) throws(HTTP2SubmitError) {
    try submitTrailers(id, FieldList(fields))
  }
}

// MARK: - Streams and the connection

extension HTTP2Session {
  /// Cancels a stream; nothing when it is gone. Its `closed` comes when the frame is pulled.
  public func reset(_ id: StreamID, _ code: HTTP2ErrorCode) {
    guard let stream = streams[id], !stream.isReset else { return }
    stream.isReset = true
    nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, code.rawValue)
  }

  /// Server: what the client still sends on a stream is not wanted once the response has left whole (RFC 9113
  /// section 8.1); the stream is cancelled then with NO_ERROR. Call it before the last piece can have been pulled.
  public func resetAfterEnd(_ id: StreamID) { streams[id]?.isResetAfterEnd = true }

  /// So many bytes of the stream's data have gone where they belong: the peer may send as many more. When a stream
  /// closes, the connection's share of what was not consumed is given back by itself.
  public func consumed(_ id: StreamID, _ count: Int) {
    guard let stream = streams[id] else { return }
    let count = min(count, stream.unconsumed)
    guard count > 0 else { return }
    stream.unconsumed -= count
    nghttp2_session_consume(session, id, count)
  }

  /// Server: announces that no new streams will be taken soon (RFC 9113 section 6.8); those under way are served.
  /// `goAway` follows a round trip later.
  public func drain() {
    if isDead { return }
    nghttp2_submit_shutdown_notice(session)
  }

  /// Takes no new streams. Those that are open may end; then the session is finished.
  public func goAway(_ code: HTTP2ErrorCode = .noError) {
    if isDead { return }
    isGoingAway = true
    goAwayCode = code
    let last = nghttp2_session_get_last_proc_stream_id(session)
    nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, code.rawValue, nil, 0)
  }

  /// Ends the session with the GOAWAY that is pulled next.
  public func terminate(_ code: HTTP2ErrorCode) {
    if isDead { return }
    isGoingAway = true
    goAwayCode = code
    nghttp2_session_terminate_session(session, code.rawValue)
  }

  /// Asks the peer for a sign of life; the answer is `pong` with the same payload.
  public func ping(_ payload: UInt64) {
    if isDead { return }
    withUnsafeBytes(of: payload.bigEndian) { bytes in
      _ = nghttp2_submit_ping(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), bytes.bindMemory(to: UInt8.self).baseAddress)
    }
  }
}
