// One call of StreamAggregatedResources: gRPC around the state machine of `AggregatedStream`.
internal import HTTP2
internal import Mesh
internal import SwiftProtobuf
internal import XDS

/// Belongs to one connection and one thread.
final class DiscoveryStream {
  static let path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
  /// A request is names and, at worst, the reason of a NACK.
  private static let maximumRequestBytes = 1 << 20

  let id: StreamID
  let number: UInt64
  private unowned let connection: XDSConnection
  private var decoder = GRPCMessageDecoder(maximumMessageBytes: DiscoveryStream.maximumRequestBytes)
  private var hasSentHead = false
  private var isOver = false
  private(set) var aggregated = AggregatedStream()
  /// nil until the first request has said it.
  private(set) var pod: String?
  private(set) var agent = ""
  private(set) var dialect = Dialect.sidecar

  init(_ id: StreamID, _ number: UInt64, _ connection: XDSConnection) {
    self.id = id
    self.number = number
    self.connection = connection
  }

  // MARK: Requests

  func receive(_ bytes: UnsafeRawBufferPointer, endStream: Bool) {
    // What arrives after the end is not read; the window that it has used up holds its sender back.
    if isOver { return }
    decoder.append(bytes)
    connection.session.consumed(id, bytes.count)
    do {
      while !isOver, let message = try decoder.next() { try take(message) }
      if endStream { end(StreamRefusal(code: .ok, message: "")) }
    } catch let refusal as StreamRefusal {
      end(refusal)
    } catch let error as GRPCFramingError {
      end(Self.refusal(error))
    } catch {
      end(StreamRefusal(code: .invalidArgument, message: "not a DiscoveryRequest"))
    }
  }

  private static func refusal(_ error: GRPCFramingError) -> StreamRefusal {
    switch error {
    case .compressed: StreamRefusal(code: .unimplemented, message: "compressed messages are not taken")
    case .tooLarge: StreamRefusal(code: .resourceExhausted, message: "the request is too large")
    case .invalidFlag: StreamRefusal(code: .invalidArgument, message: "not a gRPC message")
    }
  }

  private func take(_ message: [UInt8]) throws {
    let request = try EnvoyDiscoveryRequest(serializedBytes: message)
    if pod == nil { try identify(request.node) }
    try aggregated.receive(request, now: WallClock.nanoseconds)
    connection.server.heard(self)
  }

  /// The first request carries the node; later ones need not.
  private func identify(_ node: EnvoyNode) throws(StreamRefusal) {
    if node.id.isEmpty { throw StreamRefusal(code: .invalidArgument, message: "the first request names no node") }
    let name = String(node.id.prefix(256))
    switch connection.admission {
    case .refused(let reason): throw StreamRefusal(code: .permissionDenied, message: reason)
    case .pod(let expected) where expected != name:
      throw StreamRefusal(code: .permissionDenied, message: "this socket is \(expected)'s, not \(name)'s")
    case .pod, .anyPod: break
    }
    agent = String(node.userAgentName.prefix(64))
    guard let kind = connection.server.sidecar(ofPod: name) else {
      throw StreamRefusal(code: .permissionDenied, message: "there is no pod \(name) in the mesh")
    }
    dialect = kind == .none || agent.hasPrefix("gRPC") ? .proxyless : .sidecar
    pod = name
  }

  // MARK: Responses

  /// Sends whatever the snapshot has that the client should have and does not.
  func update(_ snapshot: ResourceSnapshot) {
    if isOver { return }
    for response in aggregated.next(snapshot, now: WallClock.nanoseconds) {
      guard let bytes: [UInt8] = try? response.serializedBytes() else {
        return end(StreamRefusal(code: .resourceExhausted, message: "the response is too large"))
      }
      send(GRPCFraming.frame(bytes))
    }
  }

  private func send(_ bytes: [UInt8]) {
    do {
      if !hasSentHead {
        hasSentHead = true
        try connection.session.submitResponse(id, Self.head, endStream: false)
      }
      try connection.session.send(id, bytes, endStream: false)
    } catch {
      isOver = true  // the stream or its connection is gone already
    }
  }

  private static var head: [HeaderField] {
    [HeaderField(":status", "200"), HeaderField("content-type", "application/grpc")]
  }

  /// Ends the call with its status: in trailers, or in the head alone where nothing was sent yet.
  func end(_ refusal: StreamRefusal) {
    if isOver { return }
    isOver = true
    var status = [HeaderField("grpc-status", String(refusal.code.rawValue))]
    if !refusal.message.isEmpty { status.append(HeaderField("grpc-message", Self.escaped(refusal.message))) }
    do {
      if hasSentHead {
        try connection.session.submitTrailers(id, status)
      } else {
        try connection.session.submitResponse(id, Self.head + status, endStream: true)
      }
    } catch {
      connection.session.reset(id, .cancel)
    }
    connection.server.left(self)
  }

  func closed() {
    if isOver { return }
    isOver = true
    connection.server.left(self)
  }

  /// Percent-encoded, as gRPC's "Status-Message" is (PROTOCOL-HTTP2): everything but printable ASCII, and the sign.
  static func escaped(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      if (0x20...0x7E).contains(byte), byte != 0x25 {
        result.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        let digits = String(byte, radix: 16, uppercase: true)
        result += byte < 16 ? "%0\(digits)" : "%\(digits)"
      }
    }
    return result
  }
}
