internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// One HTTP/1.1 request over a connection of its own to a unix socket.
struct HTTPExchange: Sendable {
  enum Method { case GET, POST }

  struct Response: Sendable {
    var status: Int
    var body: [UInt8]
  }

  /// Largest answer taken, in bytes: a page of ten thousand routes is far below it.
  static let limit = 256 << 20

  var socket: String
  var method: Method
  /// Path and query.
  var target: String
  var body: [UInt8]?

  /// Throws `ClientError`, or `CancellationError` when the task was cancelled.
  func run(timeout: Duration) async throws -> Response {
    try await withThrowingTaskGroup(of: Response.self) { group in
      group.addTask { try await self.perform() }
      group.addTask {
        try await Task.sleep(for: timeout)
        throw ClientError.timedOut(path: self.target, after: timeout)
      }
      defer { group.cancelAll() }
      guard let response = try await group.next() else { throw CancellationError() }
      return response
    }
  }

  /// Hands over an answer that goes on, piece by piece, until `take` says false, the task is cancelled or it ends.
  func follow(_ take: ([UInt8]) throws -> Bool) async throws {
    let connection = try await connect()
    do {
      try await connection.executeThenClose { inbound, outbound in
        try await outbound.write(contentsOf: [.head(head), .end(nil)])
        var status: UInt = 0
        var refusal: [UInt8] = []
        for try await part in inbound {
          switch part {
          case .head(let head): status = head.status.code
          case .body(let bytes) where status == 200:
            if try !take(Array(bytes.readableBytesView)) { return }
          case .body(let bytes): refusal += Array(bytes.readableBytesView.prefix(65536))
          case .end:
            if status != 200 { throw Refused(status: Int(status), body: refusal) }
            return
          }
        }
      }
    } catch is IOError {
      throw ClientError.interrupted(socket: socket)
    }
  }

  /// An answer other than the one that was to go on.
  struct Refused: Error {
    var status: Int
    var body: [UInt8]
  }

  private func perform() async throws -> Response {
    let connection = try await connect()
    do {
      return try await connection.executeThenClose { inbound, outbound in
        // In one piece: to a request without a body the answer comes as soon as its head is there, and the server closes
        // behind it; a part written after that would be an error.
        var parts: [HTTPPart<HTTPRequestHead, IOData>] = [.head(head)]
        if let body, !body.isEmpty { parts.append(.body(.byteBuffer(ByteBuffer(bytes: body)))) }
        try await outbound.write(contentsOf: parts + [.end(nil)])
        return try await collect(inbound)
      }
    } catch let error as ClientError {
      throw error
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      // EPIPE, ECONNRESET, or the parser's complaint about a stream that ended early.
      throw ClientError.interrupted(socket: socket)
    }
  }

  private func connect() async throws -> NIOAsyncChannel<HTTPClientResponsePart, HTTPPart<HTTPRequestHead, IOData>> {
    do {
      return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(unixDomainSocketPath: socket) { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHTTPClientHandlers()
            return try NIOAsyncChannel(wrappingChannelSynchronously: channel)
          }
        }
    } catch is CancellationError {
      throw CancellationError()
    } catch let error as IOError {
      throw ClientError.unreachable(socket: socket, reason: Self.reason(error.errnoCode))
    } catch {
      throw ClientError.unreachable(socket: socket, reason: "\(error)")
    }
  }

  private var head: HTTPRequestHead {
    var headers = HTTPHeaders([("Host", "netloom"), ("Connection", "close")])
    if let body {
      headers.add(name: "Content-Type", value: "application/json")
      headers.add(name: "Content-Length", value: "\(body.count)")
    }
    return HTTPRequestHead(version: .http1_1, method: method == .GET ? .GET : .POST, uri: target, headers: headers)
  }

  private func collect(_ inbound: NIOAsyncChannelInboundStream<HTTPClientResponsePart>) async throws -> Response {
    var response: Response?
    for try await part in inbound {
      switch part {
      case .head(let head):
        response = Response(status: Int(head.status.code), body: [])
      case .body(let bytes):
        response?.body.append(contentsOf: bytes.readableBytesView)
        if let size = response?.body.count, size > Self.limit {
          throw ClientError.malformed(path: target, reason: "more than \(Self.limit >> 20) MiB")
        }
      case .end:
        if let response { return response }
      }
    }
    throw ClientError.interrupted(socket: socket)
  }

  private static func reason(_ code: CInt) -> String {
    switch code {
    case 2: "no such socket"
    case 13: "permission denied"
    case 111: "connection refused"
    default: "errno \(code)"
    }
  }
}
