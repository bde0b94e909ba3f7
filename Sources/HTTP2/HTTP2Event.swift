/// What happened on a connection.
public enum HTTP2Event {
  /// A request (to a server) or the final response (to a client).
  case head(StreamID, FieldList, endStream: Bool)
  /// An interim response, status 1xx.
  case informational(StreamID, FieldList)
  /// A piece of the body, valid during the call only. Its bytes count against the window until `consumed` says so. The
  /// end of the stream may come as an empty piece.
  case data(StreamID, UnsafeRawBufferPointer, endStream: Bool)
  /// Fields after the body; nothing follows from the peer on this stream.
  case trailers(StreamID, FieldList)
  /// What waits to be sent on the stream fell to `sendLowWater`.
  case drained(StreamID)
  /// The peer cancelled the stream; `closed` follows.
  case reset(StreamID, HTTP2ErrorCode)
  /// The stream is no more, whoever ended it: the last event of every stream that was announced by `head` or returned
  /// by `submitRequest`. `refusedStream`: the peer did nothing for it, and it may be repeated elsewhere.
  case closed(StreamID, HTTP2ErrorCode)
  /// The peer takes no streams above `lastStream`.
  case goAway(lastStream: StreamID, HTTP2ErrorCode)
  /// The peer's settings arrived.
  case settings
  /// The peer has taken note of ours.
  case settingsAcknowledged
  /// The answer to `ping`.
  case pong(UInt64)
}
