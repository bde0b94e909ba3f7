import HTTP2
import Testing

/// Two sessions whose bytes go to each other, and what they reported.
final class Pair {
  let client: HTTP2Session
  let server: HTTP2Session
  var clientEvents: [String] = []
  var serverEvents: [String] = []
  /// Bodies as they arrived, by stream.
  var received: [StreamID: [UInt8]] = [:]
  /// Whether what arrives is consumed at once.
  var consumes = true

  init(client: HTTP2Settings = HTTP2Settings(), server: HTTP2Settings = HTTP2Settings()) {
    self.client = HTTP2Session(.client, settings: client)
    self.server = HTTP2Session(.server, settings: server)
    self.client.onEvent = { [unowned self] in clientEvents.append(note($0, self.client)) }
    self.server.onEvent = { [unowned self] in serverEvents.append(note($0, self.server)) }
  }

  private func note(_ event: HTTP2Event, _ session: HTTP2Session) -> String {
    if case .data(let stream, let bytes, let end) = event {
      received[stream, default: []] += Array(bytes)
      if consumes { session.consumed(stream, bytes.count) }
      return end ? "end \(stream)" : "data \(stream)"
    }
    return describe(event)
  }

  /// Passes bytes to and fro until both are silent.
  func exchange() throws {
    while true {
      var toServer: [UInt8] = []
      var toClient: [UInt8] = []
      client.pullOutput(into: &toServer)
      server.pullOutput(into: &toClient)
      if toServer.isEmpty && toClient.isEmpty { return }
      try toServer.withUnsafeBytes { try server.receive($0, now: 0) }
      try toClient.withUnsafeBytes { try client.receive($0, now: 0) }
    }
  }

  /// Completes the exchange of settings and forgets its events.
  func settle() throws {
    try exchange()
    clientEvents = []
    serverEvents = []
  }
}

func describe(_ event: HTTP2Event) -> String {
  switch event {
  case .head(let stream, let fields, let end): "head \(stream) \(fields)\(end ? " end" : "")"
  case .informational(let stream, let fields): "informational \(stream) \(fields)"
  case .data(let stream, let bytes, let end): "data \(stream) \(bytes.count)\(end ? " end" : "")"
  case .trailers(let stream, let fields): "trailers \(stream) \(fields)"
  case .drained(let stream): "drained \(stream)"
  case .reset(let stream, let code): "reset \(stream) \(code)"
  case .closed(let stream, let code): "closed \(stream) \(code)"
  case .goAway(let last, let code): "goaway \(last) \(code)"
  case .settings: "settings"
  case .settingsAcknowledged: "acknowledged"
  case .pong(let payload): "pong \(payload)"
  }
}

let getRequest = [
  HeaderField(":method", "GET"), HeaderField(":scheme", "http"), HeaderField(":path", "/a"),
  HeaderField(":authority", "web"),
]
let postRequest = [HeaderField(":method", "POST")] + getRequest.dropFirst()
let ok = [HeaderField(":status", "200")]
