import CLinux
import Foundation
import HTTP2

/// One end of a connection of HTTP/2 over a blocking socket, for both ends of a test.
final class HTTP2Peer {
  /// What has arrived on a stream so far.
  struct Message {
    var head: [HeaderField] = []
    var interim: [[HeaderField]] = []
    var body: [UInt8] = []
    var trailers: [HeaderField] = []
    /// The other end has said everything.
    var isWhole = false
    /// How the stream ended; nil while it is open.
    var end: HTTP2ErrorCode?

    func field(_ name: String) -> String? { (head + trailers).first { $0.name == name }?.text }
    var status: Int { Int(field(":status") ?? "") ?? 0 }
    var text: String { String(decoding: body, as: UTF8.self) }
  }

  let peer: Peer
  let session: HTTP2Session
  private(set) var messages: [StreamID: Message] = [:]
  private(set) var goAway: HTTP2ErrorCode?
  private var lastPong: UInt64 = 0
  /// Whether content is taken as it comes; otherwise the window shuts.
  var consumes = true
  /// Called when a message is whole.
  var onMessage: (StreamID, Message) -> Void = { _, _ in }

  init(_ peer: Peer, _ role: HTTP2Session.Role, _ settings: HTTP2Settings = HTTP2Settings()) {
    self.peer = peer
    session = HTTP2Session(role, settings: settings)
    session.onEvent = { [unowned self] in note($0) }
  }

  private func note(_ event: HTTP2Event) {
    switch event {
    case .head(let id, let fields, let end):
      messages[id, default: Message()].head = Array(fields)
      if end { complete(id) }
    case .informational(let id, let fields): messages[id, default: Message()].interim.append(Array(fields))
    case .data(let id, let bytes, let end):
      messages[id, default: Message()].body += Array(bytes)
      if consumes { session.consumed(id, bytes.count) }
      if end { complete(id) }
    case .trailers(let id, let fields):
      messages[id, default: Message()].trailers = Array(fields)
      complete(id)
    case .closed(let id, let code): messages[id, default: Message()].end = code
    case .goAway(_, let code): goAway = code
    case .pong(let payload): lastPong = payload
    default: break
    }
  }

  private func complete(_ id: StreamID) {
    messages[id]?.isWhole = true
    if let message = messages[id] { onMessage(id, message) }
  }

  @discardableResult
  func flush() -> Bool {
    var output: [UInt8] = []
    while session.wantsWrite {
      let before = output.count
      session.pullOutput(into: &output)
      if output.count == before { break }
    }
    return output.isEmpty || peer.write(output)
  }

  /// Goes on until the condition holds.
  /// - Returns: false when the connection ended, or nothing came for ten seconds, before.
  @discardableResult
  func run(until condition: () -> Bool) -> Bool {
    while true {
      flush()
      if condition() { return true }
      guard let bytes = peer.read() else { return false }
      do {
        try bytes.withUnsafeBytes { try session.receive($0, now: 0) }
      } catch {
        return false
      }
    }
  }

  /// Until the other end has dealt with everything that was sent so far.
  func settle() -> Bool {
    let payload = lastPong + 1
    session.ping(payload)
    return run { lastPong == payload }
  }

  // MARK: A client

  func begin(_ fields: [HeaderField], endStream: Bool = true) throws -> StreamID {
    let id = try session.submitRequest(fields, endStream: endStream)
    flush()
    return id
  }

  /// One request and its whole response; what there is of it when the stream ends before.
  func send(_ path: String = "/", _ more: [HeaderField] = [], method: String = "GET", body: String = "") throws
    -> Message
  {
    let id = try begin(HTTP2Peer.request(path, more, method: method), endStream: body.isEmpty)
    if !body.isEmpty { try session.send(id, Array(body.utf8), endStream: true) }
    return whole(id)
  }

  func whole(_ id: StreamID) -> Message {
    run { messages[id]?.isWhole == true || messages[id]?.end != nil }
    return messages[id] ?? Message()
  }

  static func request(_ path: String, _ more: [HeaderField] = [], method: String = "GET") -> [HeaderField] {
    [
      HeaderField(":method", method), HeaderField(":scheme", "http"), HeaderField(":path", path),
      HeaderField(":authority", "web"),
    ] + more
  }

  static let call = [HeaderField("content-type", "application/grpc"), HeaderField("te", "trailers")]
}

extension Running {
  func connect2(_ settings: HTTP2Settings = HTTP2Settings()) throws -> HTTP2Peer {
    HTTP2Peer(try connect(), .client, settings)
  }
}

extension Origin {
  /// Answers requests of HTTP/2; the closure may send what it likes.
  static func http2(
    _ settings: HTTP2Settings = HTTP2Settings(),
    _ answer: @escaping @Sendable (HTTP2Peer, StreamID, HTTP2Peer.Message) -> Void
  ) -> Origin {
    Origin { peer in
      let server = HTTP2Peer(peer, .server, settings)
      server.onMessage = { [unowned server] id, message in answer(server, id, message) }
      server.run { false }
    }
  }

  /// Sends the request's path and content back.
  static var echo2: Origin {
    http2 { server, id, message in server.reply(id, "\(message.field(":path") ?? "") \(message.text)") }
  }
}

extension HTTP2Peer {
  func reply(_ id: StreamID, _ body: String, status: String = "200", fields: [HeaderField] = []) {
    try? session.submitResponse(id, [HeaderField(":status", status)] + fields, endStream: body.isEmpty)
    if !body.isEmpty { _ = try? session.send(id, Array(body.utf8), endStream: true) }
  }
}

/// A frame as RFC 9113 section 4.1 draws it, for a client that breaks rules.
struct RawFrame {
  var type: UInt8
  var flags: UInt8 = 0
  var stream: UInt32 = 0
  var payload: [UInt8] = []

  var bytes: [UInt8] {
    let length = UInt32(payload.count)
    return bytesOf(length).dropFirst() + [type, flags] + bytesOf(stream) + payload
  }

  /// A head whose fields are literals without compression (RFC 7541 section 6.2.2), whatever octets they have.
  static func head(_ stream: UInt32, _ fields: [(String, String)], endStream: Bool = true) -> RawFrame {
    var block: [UInt8] = []
    for (name, value) in fields {
      block += [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
    }
    return RawFrame(type: 1, flags: endStream ? 5 : 4, stream: stream, payload: block)
  }

  static func get(_ stream: UInt32, endStream: Bool = true) -> RawFrame { head(stream, request, endStream: endStream) }

  static let request = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "web")]
  static let opening = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + RawFrame(type: 4).bytes
}

private func bytesOf(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian, Array.init) }

extension Peer {
  /// Reads frames until one of this type on this stream; nil when the connection ends before.
  func frame(_ type: UInt8, stream: UInt32 = 0) -> RawFrame? {
    while true {
      guard let head = bytes(9) else { return nil }
      let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
      let number = head[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      guard let payload = length == 0 ? [] : bytes(length) else { return nil }
      if head[3] == type, number == stream {
        return RawFrame(type: type, flags: head[4], stream: number, payload: payload)
      }
    }
  }

  private func bytes(_ count: Int) -> [UInt8]? {
    var all: [UInt8] = []
    while all.count < count {
      guard let more = read(count - all.count) else { return nil }
      all += more
    }
    return all
  }
}
