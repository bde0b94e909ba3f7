// A session and the channel that carries it: what the session has to send leaves at the end of the loop's step, so the
// frames of many streams go out by one write, and waits where the peer does not read.
import EventLoop
import HTTP2
import TLS

protocol HTTP2TransportOwner: AnyObject {
  func sessionEvent(_ event: HTTP2Event)
  /// Nothing more will be read or written, and everything has been handed to the channel.
  func sessionFinished()
}

/// Memory for what is on its way from a session to a socket: one piece per worker, since nothing stays in it.
final class OutputBuffer {
  private var bytes: [UInt8] = []
  private static let keptCapacity = 1 << 18

  /// Taken out, so that one who writes while another does gets a piece of his own.
  func take() -> [UInt8] {
    defer { bytes = [] }
    return bytes
  }

  func giveBack(_ used: consuming [UInt8]) {
    if used.capacity <= OutputBuffer.keptCapacity { bytes = used }
  }
}

/// Belongs to one connection, whose channel calls go through it.
final class HTTP2Transport {
  let session: HTTP2Session
  private let loop: EventLoop
  private var channel: Channel?
  /// Lives as long as the channel is open.
  private unowned var owner: (any HTTP2TransportOwner)?
  private let buffer: OutputBuffer
  private var isFlushScheduled = false
  private var isFinished = false
  /// Bytes that the socket has not taken, beyond which nothing more is taken from the session.
  private static let channelLimit = 1 << 17

  /// What either side of the sidecar allows its peers.
  static var settings: HTTP2Settings {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 128
    settings.initialWindow = 1 << 17
    // A stream whose reader has stopped must not stop the others: there is room for all of them.
    settings.connectionWindow = 128 << 17
    settings.maxHeaderListBytes = 65536
    return settings
  }

  init(_ role: HTTP2Session.Role, _ worker: Worker) {
    session = HTTP2Session(role, settings: HTTP2Transport.settings)
    loop = worker.loop
    buffer = worker.outputBuffer
    session.onEvent = { [unowned self] event in
      if self.channel != nil { self.owner?.sessionEvent(event) }
    }
  }

  func open(_ channel: Channel, owner: any HTTP2TransportOwner) {
    self.channel = channel
    self.owner = owner
    scheduleFlush()
  }

  var isOpen: Bool { channel != nil }
  /// SPIFFE identity of the peer; nil in the clear.
  var peerIdentity: String? { channel?.tls?.peer?.description }
  var channelQueued: Int { channel?.queued ?? 0 }

  /// After a violation the session has nothing left but the GOAWAY that names it.
  func receive(_ bytes: UnsafeRawBufferPointer) {
    try? session.receive(bytes, now: loop.now)
    scheduleFlush()
  }

  func scheduleFlush() {
    guard !isFlushScheduled, channel != nil else { return }
    isFlushScheduled = true
    loop.enqueue { [self] in
      isFlushScheduled = false
      flush()
    }
  }

  func flush() {
    var output = buffer.take()
    while let channel, channel.queued < HTTP2Transport.channelLimit, session.wantsWrite {
      output.removeAll(keepingCapacity: true)
      session.pullOutput(into: &output)
      if output.isEmpty { break }
      output.withUnsafeBytes { channel.write($0) }
    }
    buffer.giveBack(output)
    guard let channel else { return }
    if channel.queued > 0 { channel.awaitsDrain = true }
    // Answers to a peer that sends and does not read would pile up in the session.
    if channel.queued >= HTTP2Transport.channelLimit { channel.pauseReading() } else { channel.resumeReading() }
    if !isFinished, session.isFinished, !session.wantsWrite {
      isFinished = true
      owner?.sessionFinished()
    }
  }

  /// The channel belongs to somebody else or is closed from now on; every stream gets its end.
  func close() {
    guard channel != nil else { return }
    channel = nil
    owner = nil
    session.transportClosed()
  }
}
