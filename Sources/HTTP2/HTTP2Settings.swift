/// What an end of a connection allows the other, and how much it bears.
public struct HTTP2Settings: Sendable {
  /// Streams that the peer may have open at a time.
  public var maxConcurrentStreams = 128
  /// Bytes that the peer may send on a stream before any are `consumed`.
  public var initialWindow = 65535
  /// The same for all streams of the connection together; not below 65535.
  public var connectionWindow = 1 << 20
  /// Most bytes of a head, each field counted with 32 more (RFC 9113 section 6.5.2). A server answers 431 to a longer
  /// one.
  public var maxHeaderListBytes = 65536
  /// `.drained` comes when what waits in a stream falls to so many bytes.
  public var sendLowWater = 16384
  /// Answers to PING and SETTINGS that may wait for a peer who does not read.
  public var maxUnansweredControl = 256
  /// Streams that the peer may cancel, or get cancelled by errors, at once.
  public var resetBurst = 200
  /// The same, per second in the long run.
  public var resetsPerSecond = 100
  /// Frames without purpose (SETTINGS, PRIORITY, empty DATA) that the peer may send at once.
  public var idleFrameBurst = 1000
  /// The same, per second in the long run.
  public var idleFramesPerSecond = 100
  /// WINDOW_UPDATE frames that the peer may send beyond ten for each HEADERS or DATA frame of ours.
  public var windowUpdateBurst = 1000

  public init() {}
}
