// What nghttp2 reports, turned into streams, limits and events. A callback that returns NGHTTP2_ERR_CALLBACK_FAILURE
// ends the connection, for the reason that it left in `violation`.
import CNGHTTP2

extension HTTP2Session {
  static func setCallbacks(_ callbacks: OpaquePointer) {
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { _, head, user in
      guard let session = HTTP2Session.of(user), let head else { return 0 }
      return session.frameBegins(head.pointee)
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
      guard let session = HTTP2Session.of(user), let frame else { return 0 }
      session.headersBegin(frame.pointee.hd.stream_id)
      return 0
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      _, frame, name, nameLength, value, length, flags, user in
      guard let session = HTTP2Session.of(user), let frame else { return 0 }
      session.fieldArrives(
        frame.pointee.hd.stream_id, UnsafeBufferPointer(start: name, count: nameLength),
        UnsafeBufferPointer(start: value, count: length), flags)
      return 0
    }
    // Left to itself nghttp2 drops a field with forbidden octets and passes on the rest; RFC 9113 section 8.2.1 calls
    // the message malformed.
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks) { _, _, _, _, _, _, _, _ in
      NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, bytes, count, user in
      HTTP2Session.of(user)?.dataArrives(stream, UnsafeRawBufferPointer(start: bytes, count: count))
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
      guard let session = HTTP2Session.of(user), let frame else { return 0 }
      return session.frameArrives(frame.pointee)
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, code, user in
      HTTP2Session.of(user)?.close(stream, HTTP2ErrorCode(rawValue: code))
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
      guard let session = HTTP2Session.of(user), let frame else { return 0 }
      return session.frameLeaves(frame.pointee)
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, frame, head, length, _, user in
      guard let session = HTTP2Session.of(user), let frame, let head else { return 0 }
      return session.writeData(frame.pointee.hd.stream_id, UnsafeBufferPointer(start: head, count: 9), length)
    }
    nghttp2_session_callbacks_set_error_callback2(callbacks) { _, _, text, length, user in
      guard let session = HTTP2Session.of(user), let text else { return 0 }
      let bytes = UnsafeRawBufferPointer(start: text, count: min(length, 256))
      session.complaint = String(decoding: bytes, as: UTF8.self)
      return 0
    }
  }

  private static let go: Int32 = 0
  private static let stop = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue

  /// Ends the connection when there is a reason to.
  private func check(_ reason: String?) -> Int32 {
    guard let reason else { return Self.go }
    violation = reason
    return Self.stop
  }
}

// MARK: - Frames of the peer

extension HTTP2Session {
  private func isType(_ type: UInt8, _ expected: nghttp2_frame_type) -> Bool { UInt32(type) == expected.rawValue }

  private func has(_ flags: UInt8, _ flag: nghttp2_flag) -> Bool { UInt32(flags) & flag.rawValue != 0 }

  fileprivate func frameBegins(_ head: nghttp2_frame_hd) -> Int32 {
    switch nghttp2_frame_type(rawValue: UInt32(head.type)) {
    case NGHTTP2_RST_STREAM:
      return check(flood.reset(now: now))
    case NGHTTP2_DATA:
      if head.length > 0 || has(head.flags, NGHTTP2_FLAG_END_STREAM) { return Self.go }
      return check(flood.idleFrame(now: now))
    case NGHTTP2_PING, NGHTTP2_SETTINGS:
      if has(head.flags, NGHTTP2_FLAG_ACK) { return check(flood.idleFrame(now: now)) }
      if let reason = flood.mustAnswer() { return check(reason) }
      return isType(head.type, NGHTTP2_SETTINGS) ? check(flood.idleFrame(now: now)) : Self.go
    case NGHTTP2_WINDOW_UPDATE:
      return check(flood.windowUpdate(sentFrames: sentFrames))
    case NGHTTP2_HEADERS, NGHTTP2_CONTINUATION, NGHTTP2_PUSH_PROMISE, NGHTTP2_GOAWAY:
      return Self.go
    default:
      return check(flood.idleFrame(now: now))
    }
  }

  fileprivate func headersBegin(_ id: StreamID) {
    let stream: HTTP2Stream
    if let known = streams[id] {
      stream = known
    } else {
      stream = HTTP2Stream(isAnnounced: false)
      streams[id] = stream
    }
    stream.fields = FieldList()
    stream.fields.reserve(fields: 12, octets: 384)
    stream.fieldBytes = 0
  }

  fileprivate func fieldArrives(
    _ id: StreamID, _ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>, _ flags: UInt8
  ) {
    guard let stream = streams[id] else { return }
    stream.fieldBytes += name.count + value.count + HeaderField.overhead
    // Too much is counted and not kept; the answer comes when the head is complete.
    guard stream.fieldBytes <= settings.maxHeaderListBytes else { return }
    let isSensitive = UInt32(flags) & NGHTTP2_NV_FLAG_NO_INDEX.rawValue != 0
    stream.fields.append(name: name, value: value, isSensitive: isSensitive)
  }

  fileprivate func dataArrives(_ id: StreamID, _ bytes: UnsafeRawBufferPointer) {
    guard let stream = streams[id], !stream.isReset else {
      // Nobody will consume it, and the other streams need the window.
      nghttp2_session_consume(session, id, bytes.count)
      return
    }
    stream.unconsumed += bytes.count
    onEvent?(.data(id, bytes, endStream: false))
  }

  fileprivate func frameArrives(_ frame: nghttp2_frame) -> Int32 {
    let id = frame.hd.stream_id
    switch nghttp2_frame_type(rawValue: UInt32(frame.hd.type)) {
    case NGHTTP2_HEADERS:
      headersArrive(id, endStream: has(frame.hd.flags, NGHTTP2_FLAG_END_STREAM))
    case NGHTTP2_DATA:
      if has(frame.hd.flags, NGHTTP2_FLAG_END_STREAM), let stream = streams[id], !stream.isReset {
        onEvent?(.data(id, UnsafeRawBufferPointer(start: nil, count: 0), endStream: true))
      }
    case NGHTTP2_RST_STREAM:
      if let stream = streams[id], stream.isAnnounced {
        onEvent?(.reset(id, HTTP2ErrorCode(rawValue: frame.rst_stream.error_code)))
      }
    case NGHTTP2_GOAWAY:
      isGoingAway = true
      onEvent?(
        .goAway(lastStream: frame.goaway.last_stream_id, HTTP2ErrorCode(rawValue: frame.goaway.error_code)))
    case NGHTTP2_SETTINGS:
      if !has(frame.hd.flags, NGHTTP2_FLAG_ACK) { hasPeerSettings = true }
      onEvent?(has(frame.hd.flags, NGHTTP2_FLAG_ACK) ? .settingsAcknowledged : .settings)
    case NGHTTP2_PING:
      if has(frame.hd.flags, NGHTTP2_FLAG_ACK) {
        let payload = withUnsafeBytes(of: frame.ping.opaque_data) { $0.loadUnaligned(as: UInt64.self) }
        onEvent?(.pong(UInt64(bigEndian: payload)))
      }
    default: break
    }
    return Self.go
  }

  private func headersArrive(_ id: StreamID, endStream: Bool) {
    guard let stream = streams[id], !stream.isReset else { return }
    let fields = stream.fields
    stream.fields = FieldList()
    if stream.fieldBytes > settings.maxHeaderListBytes {
      refuseHead(id, stream)
    } else if let status = fields.status {
      // 1xx; after it the final head comes as one more HEADERS frame.
      let isInterim = status / 100 == 1
      onEvent?(isInterim ? .informational(id, fields) : .head(id, fields, endStream: endStream))
    } else if stream.isAnnounced {
      onEvent?(.trailers(id, fields))
    } else {
      stream.isAnnounced = true
      onEvent?(.head(id, fields, endStream: endStream))
    }
  }

  /// A head that is too long: a server says so before it cancels the stream (RFC 9113 section 10.5.1, RFC 6585). With a
  /// stream that the user knows, to a client or at its trailers, there is nothing to say.
  private func refuseHead(_ id: StreamID, _ stream: HTTP2Stream) {
    if stream.isAnnounced { return reset(id, .enhanceYourCalm) }
    do throws(HTTP2SubmitError) {
      try submitResponse(id, [HeaderField(":status", "431")], endStream: true)
      stream.isReset = true
      stream.isResetAfterEnd = true
    } catch {
      reset(id, .enhanceYourCalm)
    }
  }
}

// MARK: - Frames of ours

extension HTTP2Session {
  fileprivate func frameLeaves(_ frame: nghttp2_frame) -> Int32 {
    switch nghttp2_frame_type(rawValue: UInt32(frame.hd.type)) {
    case NGHTTP2_PING, NGHTTP2_SETTINGS:
      if has(frame.hd.flags, NGHTTP2_FLAG_ACK) { flood.answered() }
    case NGHTTP2_RST_STREAM:
      let code = HTTP2ErrorCode(rawValue: frame.rst_stream.error_code)
      if code != .refusedStream, streams[frame.hd.stream_id]?.isReset != true {
        return check(flood.reset(now: now))  // nghttp2 cancelled it, for an error of the peer's
      }
    case NGHTTP2_DATA:
      sentFrames &+= 1
      endLeaves(frame.hd)
    case NGHTTP2_HEADERS:
      sentFrames &+= 1
      endLeaves(frame.hd)
    case NGHTTP2_GOAWAY:
      goAwayLeaves(frame.goaway)
    default: break
    }
    return Self.go
  }

  /// nghttp2 would drop a response whose stream is already being cancelled.
  private func endLeaves(_ head: nghttp2_frame_hd) {
    guard has(head.flags, NGHTTP2_FLAG_END_STREAM), let stream = streams[head.stream_id], stream.isResetAfterEnd,
      nghttp2_session_get_stream_remote_close(session, head.stream_id) == 0
    else { return }
    stream.isReset = true
    nghttp2_submit_rst_stream(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), head.stream_id, HTTP2ErrorCode.noError.rawValue)
  }

  private func goAwayLeaves(_ frame: nghttp2_goaway) {
    let code = HTTP2ErrorCode(rawValue: frame.error_code)
    if code == .noError || code == goAwayCode { return }  // the user's, not nghttp2's
    isGoingAway = true
    let debug = UnsafeBufferPointer(start: frame.opaque_data, count: min(frame.opaque_data_len, 256))
    let words = debug.isEmpty ? complaint : String(decoding: debug, as: UTF8.self)
    failure = HTTP2Failure(code, words.isEmpty ? "protocol violation" : words)
  }

  /// nghttp2 asks how much of the body comes next; the bytes themselves go out by `writeData`.
  func nextData(_ id: StreamID, _ room: Int, _ flags: UnsafeMutablePointer<UInt32>) -> Int {
    guard let stream = streams[id] else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
    let count = min(room, stream.queue.count)
    let isLast = stream.sending == .ended && count == stream.queue.count
    if count == 0, !isLast {
      stream.isDeferred = true
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    if count > 0 { flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue }
    guard isLast else { return count }
    flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    if let trailers = stream.trailers {
      flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
      stream.trailers = nil
      let result = trailers.withFields { nghttp2_submit_trailer(session, id, $0, $1) }
      if result != 0 { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
    }
    return count
  }

  /// Writes a DATA frame straight from the queue into the output.
  fileprivate func writeData(_ id: StreamID, _ head: UnsafeBufferPointer<UInt8>, _ count: Int) -> Int32 {
    guard let stream = streams[id], stream.queue.count >= count else {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
    }
    if output.count >= outputEnd { return NGHTTP2_ERR_WOULDBLOCK.rawValue }
    output.append(contentsOf: head)
    stream.queue.move(count, to: &output)
    queuedBytes -= count
    if stream.owesDrained, stream.queue.count <= settings.sendLowWater {
      stream.owesDrained = false
      drainedStreams.append(id)
    }
    return Self.go
  }
}
