internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOPosix

/// A listening TCP socket that netloom-machine opened outside the lab's network namespace and left to the controller.
/// It cannot be reached by the controller's own bind: the lab's namespace has no way out.
public struct TokenListener: Sendable {
  private let descriptor: Int32
  let token: String

  /// Takes the descriptor over.
  public init(descriptor: Int32, token: String) {
    self.descriptor = descriptor
    self.token = token
  }

  func run<Responder: HTTPResponder>(
    _ responder: Responder, loop: any EventLoop, logger: Logger
  ) async throws where Responder.Context == BasicRequestContext {
    let http = HTTP1Channel(responder: { request, writer, channel in
      let context = BasicRequestContext(source: ApplicationRequestContextSource(channel: channel, logger: logger))
      let response = try await responder.respond(to: request, context: context)
      try await writer.write(response: response.head, body: response.body)
    })
    let (connections, feed) = AsyncStream.makeStream(of: HTTP1Channel.Value.self)
    let server = try await ServerBootstrap(group: loop)
      .childChannelOption(ChannelOptions.allowRemoteHalfClosure, value: true)
      .childChannelInitializer { channel in
        http.setup(channel: channel, logger: logger).map { connection in _ = feed.yield(connection) }
      }
      .withBoundSocket(descriptor).get()
    server.closeFuture.whenComplete { _ in feed.finish() }
    await withTaskCancellationHandler {
      await withDiscardingTaskGroup { group in
        for await connection in connections {
          group.addTask { await http.handle(value: connection, logger: logger) }
        }
      }
    } onCancel: {
      server.close(promise: nil)
    }
  }
}
