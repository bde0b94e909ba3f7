import HTTP2
import Testing

/// Frames as RFC 9113 section 4.1 draws them, for a peer that misbehaves.
struct Frame: Equatable {
  var type: UInt8
  var flags: UInt8 = 0
  var stream: UInt32 = 0
  var payload: [UInt8] = []

  static let endStream: UInt8 = 0x1
  static let acknowledge: UInt8 = 0x1
  static let endHeaders: UInt8 = 0x4
  static let padded: UInt8 = 0x8

  var bytes: [UInt8] {
    let length = UInt32(payload.count)
    return bigEndian(length).dropFirst() + [type, flags] + bigEndian(stream) + payload
  }

  static func data(_ stream: UInt32, _ payload: [UInt8], flags: UInt8 = 0) -> Frame {
    Frame(type: 0, flags: flags, stream: stream, payload: payload)
  }

  static func headers(_ stream: UInt32, _ block: [UInt8], flags: UInt8 = endHeaders | endStream) -> Frame {
    Frame(type: 1, flags: flags, stream: stream, payload: block)
  }

  static func priority(_ stream: UInt32) -> Frame {
    Frame(type: 2, stream: stream, payload: [0, 0, 0, 0, 15])
  }

  static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> Frame {
    Frame(type: 3, stream: stream, payload: bigEndian(code))
  }

  static let settings = Frame(type: 4)
  static let settingsAcknowledgement = Frame(type: 4, flags: acknowledge)
  static let ping = Frame(type: 6, payload: [1, 2, 3, 4, 5, 6, 7, 8])

  static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> Frame {
    Frame(type: 8, stream: stream, payload: bigEndian(increment))
  }

  static func continuation(_ stream: UInt32, _ block: [UInt8], flags: UInt8 = 0) -> Frame {
    Frame(type: 9, flags: flags, stream: stream, payload: block)
  }

  /// The frames of an output.
  static func parse(_ bytes: [UInt8]) -> [Frame] {
    var frames: [Frame] = []
    var rest = bytes[...]
    while rest.count >= 9 {
      let head = Array(rest.prefix(9))
      let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
      let stream = head[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      rest = rest.dropFirst(9)
      frames.append(Frame(type: head[3], flags: head[4], stream: stream, payload: Array(rest.prefix(length))))
      rest = rest.dropFirst(length)
    }
    return frames
  }
}

func bigEndian(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian, Array.init) }

/// A server and the frames that a client of our making sends it.
final class HandMadeClient {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  /// RFC 7541 appendix C.3.1: GET, http, /, www.example.com.
  static let getBlock: [UInt8] = [0x82, 0x86, 0x84, 0x41, 0x0F] + Array("www.example.com".utf8)

  let server: HTTP2Session
  var events: [String] = []

  init(_ settings: HTTP2Settings = HTTP2Settings()) throws {
    server = HTTP2Session(.server, settings: settings)
    server.onEvent = { [unowned self] in events.append(describe($0)) }
    try send(Self.preface + Frame.settings.bytes + Frame.settingsAcknowledgement.bytes)
    _ = answer()
    events = []
  }

  func send(_ bytes: [UInt8], now: UInt64 = 0) throws {
    try bytes.withUnsafeBytes { try server.receive($0, now: now) }
  }

  func send(_ frames: [Frame], now: UInt64 = 0) throws {
    try send(frames.flatMap(\.bytes), now: now)
  }

  func answer() -> [Frame] {
    var output: [UInt8] = []
    while server.wantsWrite {
      let before = output.count
      server.pullOutput(into: &output)
      if output.count == before { break }
    }
    return Frame.parse(output)
  }

  /// The code of the last GOAWAY among the server's frames.
  func goAwayCode() -> UInt32? {
    guard let payload = answer().last(where: { $0.type == 7 })?.payload, payload.count >= 8 else { return nil }
    return payload[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
  }

  /// The code of the RST_STREAM that the server sent.
  func resetCode(_ stream: UInt32) -> UInt32? {
    answer().last { $0.type == 3 && $0.stream == stream }?.payload.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
  }
}
