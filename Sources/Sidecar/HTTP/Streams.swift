// The two ends of an exchange, whatever version of HTTP carries them. A connection of HTTP/1.1 is one stream at a time;
// a connection of HTTP/2 makes one object per stream.
//
//   client ─► DownstreamStream ─► Exchange ─► UpstreamStream ─► application
//          ◄─                  ◄─          ◄─
import HTTP1

/// Where a request came from and its response goes.
protocol DownstreamStream: AnyObject {
  /// SPIFFE identity of the client; nil in the clear.
  var peerIdentity: String? { get }
  /// The client's address.
  var peerAddress: SocketAddress? { get }
  func sendInterim(_ head: ResponseHead)
  /// The head of the final response. A response to 101 turns the stream into a tunnel.
  func sendHead(_ head: ResponseHead)
  func sendBody(_ bytes: UnsafeRawBufferPointer)
  /// The response is complete; the exchange is over.
  func sendEnd(_ trailers: HeaderFields?)
  /// The response cannot be completed; the client must not take it for whole. The exchange is over.
  func abortResponse()
  /// Bytes that wait to be sent.
  var queued: Int { get }
  /// Ask for `Exchange.downstreamDrained`.
  func awaitDrain()
  /// The exchange takes the request's content again.
  func resumeRequest()
  func pauseRequest()
}

/// Where a request goes.
protocol UpstreamStream: AnyObject {
  var isReused: Bool { get }
  /// SPIFFE identity of the server; nil in the clear.
  var peerIdentity: String? { get }
  func sendHead(_ head: RequestHead)
  func sendBody(_ bytes: UnsafeRawBufferPointer)
  func sendEnd(_ trailers: HeaderFields?)
  /// The exchange is no longer interested; it is not called any more.
  func cancel()
  var queued: Int { get }
  /// Ask for `Exchange.upstreamDrained`.
  func awaitDrain()
  func pauseResponse()
  func resumeResponse()
}
