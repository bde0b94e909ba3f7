// The controller asks a sidecar over the unix socket that the sidecar has opened below its pod's own `/run`. A connection
// per question; what goes on (taps) ends when either side closes.
internal import NIOCore
internal import NIOPosix

struct SidecarClient: Sendable {
  struct Failure: Error, CustomStringConvertible { let description: String }

  let socket: String
  let group: any EventLoopGroup

  /// Largest whole answer, in bytes.
  private static let limit = 16 << 20

  /// The body of the answer to `GET path`.
  func get(_ path: String, within limit: Duration) async throws -> [UInt8] {
    try await withThrowingTaskGroup(of: [UInt8].self) { group in
      group.addTask { try await self.whole(path) }
      group.addTask {
        try await Task.sleep(for: limit)
        throw Failure(description: "no answer within \(limit)")
      }
      defer { group.cancelAll() }
      guard let body = try await group.next() else { throw CancellationError() }
      return body
    }
  }

  private func whole(_ path: String) async throws -> [UInt8] {
    var answer: [UInt8] = []
    try await exchange(path) { bytes in
      answer += bytes
      guard answer.count <= Self.limit else { throw Failure(description: "its answer is too long") }
    }
    return answer
  }

  /// Hands over the answer to `GET path` piece by piece, until the sidecar closes or the task is cancelled.
  func exchange(_ path: String, _ take: ([UInt8]) async throws -> Void) async throws {
    let channel = try await ClientBootstrap(group: group).connect(unixDomainSocketPath: socket) { channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
      }
    }
    try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(
        ByteBuffer(string: "GET \(path) HTTP/1.1\r\nHost: sidecar\r\nConnection: close\r\n\r\n"))
      var head: [UInt8]? = []
      for try await buffer in inbound {
        var bytes = Array(buffer.readableBytesView)
        if var begun = head {
          begun += bytes
          guard let end = Self.endOfHead(begun) else {
            guard begun.count < 65536 else { throw Failure(description: "its answer has no end of a head") }
            head = begun
            continue
          }
          try Self.check(begun[..<end])
          bytes = Array(begun[end...])
          head = nil
        }
        if !bytes.isEmpty { try await take(bytes) }
      }
      guard head == nil else { throw Failure(description: "it closed without an answer") }
    }
  }

  private static func check(_ head: ArraySlice<UInt8>) throws {
    let line = String(decoding: head.prefix { $0 != 13 }, as: UTF8.self)
    guard line.split(separator: " ").dropFirst().first == "200" else { throw Failure(description: line) }
  }

  /// Behind the empty line.
  private static func endOfHead(_ bytes: [UInt8]) -> Int? {
    bytes.indices.dropLast(3).first { bytes[$0..<($0 + 4)].elementsEqual([13, 10, 13, 10]) }.map { $0 + 4 }
  }
}
