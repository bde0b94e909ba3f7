import ControlProtocol
import Foundation
import NIOCore
import NIOPosix
import SwiftProtobuf

/// The other end of a `controller.sock` connection, as a process of the lab would hold it.
///
/// Every message from the controller goes through `script` first, which may answer; all are kept in order and can be
/// waited for.
actor FakeProcess {
  typealias Script = @Sendable (NLFromController) -> [NLToController.OneOf_Body]

  private let channel: any Channel
  private(set) var received: [NLFromController.OneOf_Body] = []
  private var script: Script
  private var waiters: [CheckedContinuation<Void, Never>] = []

  private init(_ channel: any Channel, _ script: @escaping Script) {
    self.channel = channel
    self.script = script
  }

  static func connect(to socket: String, hello: NLHello, script: @escaping Script) async throws -> FakeProcess {
    let (stream, feed) = AsyncStream.makeStream(of: ByteBuffer.self)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Inbound(feed)) }
      }
      .connect(unixDomainSocketPath: socket).get()
    let process = FakeProcess(channel, script)
    Task { await process.read(stream) }
    try await process.send(.hello(hello))
    return process
  }

  private final class Inbound: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let feed: AsyncStream<ByteBuffer>.Continuation
    init(_ feed: AsyncStream<ByteBuffer>.Continuation) { self.feed = feed }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { feed.yield(unwrapInboundIn(data)) }
    func channelInactive(context: ChannelHandlerContext) { feed.finish() }
  }

  private func read(_ stream: AsyncStream<ByteBuffer>) async {
    var reader = FrameReader()
    for await bytes in stream {
      reader.append(bytes.readableBytesView)
      while let message = try? reader.next(NLFromController.self) { await take(message) }
    }
  }

  private func take(_ message: NLFromController) async {
    if let body = message.body { received.append(body) }
    for answer in script(message) { try? await send(answer, request: message.request) }
    let waiting = waiters
    waiters = []
    for waiter in waiting { waiter.resume() }
  }

  func send(_ body: NLToController.OneOf_Body, request: UInt64 = 0) async throws {
    var message = NLToController()
    message.request = request
    message.body = body
    try await channel.writeAndFlush(ByteBuffer(bytes: frame(message)))
  }

  func setScript(_ new: @escaping Script) { script = new }

  /// Waits until the messages received satisfy `condition`; the test's time limit is the only limit.
  func wait(until condition: ([NLFromController.OneOf_Body]) -> Bool) async {
    while !condition(received) { await withCheckedContinuation { waiters.append($0) } }
  }

  func forget() { received = [] }

  func close() async { try? await channel.close() }
}
