// One HTTP/2 connection (RFC 9113) without its transport: bytes in by `receive`, bytes out by `pullOutput`, what they
// mean by `onEvent`. Framing, HPACK, stream states and the checks of messages are nghttp2's; added here are the limits that
// it does not have, back-pressure in both directions, and an end for every stream.
//
//   receive ──► nghttp2 ──► callbacks ──► onEvent                       head, data, trailers, reset, closed …
//   submit…, send ──► HTTP2Stream.queue ──► nghttp2 ──► pullOutput       HEADERS, DATA as the windows allow
//
// Receiving is held back by not calling `consumed`: the peer's windows stay shut. Sending is held back by the peer's
// windows and by how much is pulled: `queuedBytes` says what waits, `drained` when it is time for more.
//
// A session is over after `receive` has thrown or `isFinished` is true; what `pullOutput` then still gives should be
// sent before the transport is closed. Violations that nghttp2 itself answers by GOAWAY show up as `failure` when that
// frame is pulled. Server push is neither sent nor accepted. Priorities are honoured as nghttp2 does (RFC 7540's tree;
// equal shares by default).
import CNGHTTP2

public final class HTTP2Session {
  public enum Role: Sendable { case client, server }

  public let role: Role
  let settings: HTTP2Settings
  let session: OpaquePointer
  var streams: [StreamID: HTTP2Stream] = [:]
  var flood: FloodGuard
  /// The time of the last `receive`, nanoseconds.
  var now: UInt64 = 0
  /// What nghttp2 writes to while `pullOutput` runs, and where that is to stop.
  var output: [UInt8] = []
  var outputEnd = 0
  /// Streams whose queue has fallen to the low-water mark during this `pullOutput`.
  var drainedStreams: [StreamID] = []
  /// A GOAWAY was asked for, or the peer's came.
  var isGoingAway = false
  /// What the user's own GOAWAY says.
  var goAwayCode: HTTP2ErrorCode?
  var hasPeerSettings = false
  /// Why the callback that is running ends the connection.
  var violation: String?
  /// HEADERS and DATA that have left: what the peer has to grant windows for.
  var sentFrames = 0
  /// nghttp2's words about the last thing that the peer did wrong.
  var complaint = ""

  /// nghttp2's session must not be used any more.
  private(set) var isDead = false
  private var isInside = false
  /// After a failure that nghttp2 cannot send a GOAWAY for: ours.
  private var lastOutput: [UInt8] = []

  /// Gets every event, from within `receive`, `pullOutput` and `transportClosed`. It may call anything but `receive`
  /// (which throws) and `pullOutput` (which gives nothing), and must leave alone the array that `pullOutput` was given.
  public var onEvent: ((HTTP2Event) -> Void)?

  /// Why the connection is over, when the peer is to blame for it.
  public internal(set) var failure: HTTP2Failure?
  /// Bytes of all streams that wait to be sent.
  public internal(set) var queuedBytes = 0
  /// Streams that we opened and that are not closed.
  public internal(set) var openRequests = 0

  /// The preface and SETTINGS are in the first output.
  public init(_ role: Role, settings: HTTP2Settings = HTTP2Settings()) {
    self.role = role
    self.settings = settings
    flood = FloodGuard(settings)
    guard let session = Self.makeSession(role) else {
      preconditionFailure("no memory for an HTTP/2 session")
    }
    self.session = session
    nghttp2_session_set_user_data(session, Unmanaged.passUnretained(self).toOpaque())
    submitSettings()
  }

  deinit { nghttp2_session_del(session) }

  private static func makeSession(_ role: Role) -> OpaquePointer? {
    var callbacks: OpaquePointer?
    var option: OpaquePointer?
    guard nghttp2_session_callbacks_new(&callbacks) == 0, nghttp2_option_new(&option) == 0, let callbacks else {
      return nil
    }
    defer {
      nghttp2_session_callbacks_del(callbacks)
      nghttp2_option_del(option)
    }
    setCallbacks(callbacks)
    nghttp2_option_set_no_auto_window_update(option, 1)
    nghttp2_option_set_no_closed_streams(option, 1)
    nghttp2_option_set_peer_max_concurrent_streams(option, UInt32(assumedPeerStreams))
    nghttp2_option_set_max_send_header_block_length(option, 2 * longestHead)
    // Ours counts first, with the caller's clock, and its GOAWAY has the right code.
    nghttp2_option_set_stream_reset_rate_limit(option, UInt64.max, UInt64.max)
    var session: OpaquePointer?
    let result =
      role == .client
      ? nghttp2_session_client_new2(&session, callbacks, nil, option)
      : nghttp2_session_server_new2(&session, callbacks, nil, option)
    return result == 0 ? session : nil
  }

  /// Streams that a peer is taken to allow until its SETTINGS say so.
  static let assumedPeerStreams = 100

  /// Bytes of a head that is sent, whatever the peer would take.
  static let longestHead = 1 << 18

  private func submitSettings() {
    func entry(_ id: nghttp2_settings_id, _ value: Int) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: UInt32(clamping: value))
    }
    let entries = [
      role == .client
        ? entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0)
        : entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams),
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, min(settings.initialWindow, Int(Int32.max))),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.maxHeaderListBytes),
    ]
    let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
    nghttp2_submit_settings(session, flags, entries, entries.count)
    nghttp2_session_set_local_window_size(session, flags, 0, Int32(clamping: max(settings.connectionWindow, 65535)))
  }

  static func of(_ userData: UnsafeMutableRawPointer?) -> HTTP2Session? {
    guard let userData else { return nil }
    return Unmanaged<HTTP2Session>.fromOpaque(userData).takeUnretainedValue()
  }
}

// MARK: - Bytes in and out

extension HTTP2Session {
  /// Takes bytes that the transport received.
  /// - Parameter now: CLOCK_MONOTONIC in nanoseconds; limits per second go by it.
  public func receive(_ bytes: UnsafeRawBufferPointer, now: UInt64) throws(HTTP2Failure) {
    if isInside { throw HTTP2Failure(.internalError, "receive was called from within an event") }
    if isDead { throw failure ?? HTTP2Failure(.noError, "the session is over") }
    self.now = now
    isInside = true
    defer { isInside = false }
    let base = bytes.bindMemory(to: UInt8.self).baseAddress
    let result = withExtendedLifetime(self) { nghttp2_session_mem_recv(session, base, bytes.count) }
    if result < 0 { throw fail(Int32(truncatingIfNeeded: result)) }
  }

  /// Appends whole frames until `limit` bytes are passed, by one frame at most.
  public func pullOutput(into target: inout [UInt8], limit: Int = 65536) {
    if isInside { return }
    if isDead {
      target += lastOutput
      lastOutput = []
      return
    }
    isInside = true
    defer { isInside = false }
    swap(&output, &target)
    outputEnd = output.count + min(limit, Int(Int32.max))
    let result = withExtendedLifetime(self) { pull() }
    swap(&output, &target)
    for stream in drainedStreams where streams[stream] != nil { onEvent?(.drained(stream)) }
    drainedStreams.removeAll(keepingCapacity: true)
    if result < 0 {
      _ = fail(result)
      target += lastOutput
      lastOutput = []
    } else if isFinished {
      closeStreams(failure?.code ?? .noError)
    }
  }

  private func pull() -> Int32 {
    while output.count < outputEnd {
      var bytes: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(session, &bytes)
      if count <= 0 { return Int32(truncatingIfNeeded: count) }
      output.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
    }
    return 0
  }

  /// Whether the peer's bytes still matter.
  public var wantsRead: Bool { !isDead && nghttp2_session_want_read(session) != 0 }

  /// Whether `pullOutput` would give something.
  public var wantsWrite: Bool { isDead ? !lastOutput.isEmpty : nghttp2_session_want_write(session) != 0 }

  /// Neither: the transport may be closed.
  public var isFinished: Bool { !wantsRead && !wantsWrite }

  /// The transport is gone. Every stream that is open gets its `closed`.
  public func transportClosed() {
    isDead = true
    lastOutput = []
    closeStreams(.cancel)
  }

  /// Ends the session after an error that nghttp2 does not recover from.
  private func fail(_ result: Int32) -> HTTP2Failure {
    let failure: HTTP2Failure
    if let violation {
      failure = HTTP2Failure(.enhanceYourCalm, violation)
    } else {
      let words = String(cString: nghttp2_strerror(result))
      switch result {
      case NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue: failure = HTTP2Failure(.protocolError, "peer does not speak HTTP/2")
      case NGHTTP2_ERR_FLOODED.rawValue, NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue,
        NGHTTP2_ERR_TOO_MANY_SETTINGS.rawValue:
        failure = HTTP2Failure(.enhanceYourCalm, words)
      default: failure = HTTP2Failure(.internalError, words)
      }
    }
    self.failure = failure
    isDead = true
    lastOutput = GoAwayFrame.encode(
      lastStream: nghttp2_session_get_last_proc_stream_id(session), failure.code, failure.reason)
    closeStreams(failure.code)
    return failure
  }

  private func closeStreams(_ code: HTTP2ErrorCode) {
    for stream in streams.keys.sorted() { close(stream, code) }
  }

  /// Forgets a stream and tells its user.
  func close(_ id: StreamID, _ code: HTTP2ErrorCode) {
    guard let stream = streams.removeValue(forKey: id) else { return }
    queuedBytes -= stream.queue.count
    if isOurs(id) { openRequests -= 1 }
    if stream.unconsumed > 0, !isDead { nghttp2_session_consume_connection(session, stream.unconsumed) }
    if stream.isAnnounced { onEvent?(.closed(id, code)) }
  }

  func isOurs(_ stream: StreamID) -> Bool { (stream & 1 == 1) == (role == .client) }
}

/// A GOAWAY frame (RFC 9113 section 6.8) made without nghttp2, for when its session can send nothing more.
enum GoAwayFrame {
  static func encode(lastStream: StreamID, _ code: HTTP2ErrorCode, _ reason: String) -> [UInt8] {
    func bigEndian(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian, Array.init) }
    let payload = bigEndian(UInt32(bitPattern: lastStream)) + bigEndian(code.rawValue) + Array(reason.utf8.prefix(256))
    return bigEndian(UInt32(payload.count)).dropFirst() + [0x7, 0] + bigEndian(0) + payload
  }
}
