public import BGPCore

/// Sees everything that goes into a session machine and what comes out of it. Fed with the same events at the same
/// times, a new `Session` gives the same actions, so a recording replays byte for byte without a socket or a clock.
public protocol SessionRecorder: AnyObject {
  /// - Parameters:
  ///   - session: `PeerSettings.session`.
  ///   - parameters: what the machine was made with.
  func record(
    session: String, parameters: SessionParameters, event: SessionEvent, at now: Instant, actions: [SessionAction])
  /// Bytes of one read, before they are framed; valid during the call.
  func record(session: String, connection: Connection, bytes: UnsafeRawBufferPointer, at now: Instant)
}
