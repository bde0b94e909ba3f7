internal import ControlProtocol
internal import NIOCore

/// One process of the lab, seen from the controller's end of its stream.
struct Connection: Sendable {
  typealias ID = UInt64

  let id: ID
  let channel: any Channel

  /// Frames and sends; a message that cannot be framed is ours and too long, the connection ends.
  func send(_ body: NLFromController.OneOf_Body, request: UInt64 = 0) {
    var message = NLFromController()
    message.request = request
    message.body = body
    guard let bytes = try? frame(message) else {
      channel.close(promise: nil)
      return
    }
    channel.writeAndFlush(channel.allocator.buffer(bytes: bytes), promise: nil)
  }

  func close() { channel.close(promise: nil) }
}

/// Cuts the stream of one connection into messages and hands them to the controller, on the controller's own event
/// loop: no task, no hop, the order of arrival.
final class ConnectionHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let controller: LabController
  private let id: Connection.ID
  private var reader = FrameReader()

  init(controller: LabController, id: Connection.ID) {
    self.controller = controller
    self.id = id
  }

  func channelActive(context: ChannelHandlerContext) {
    let connection = Connection(id: id, channel: context.channel)
    controller.assumeIsolated { $0.opened(connection) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    reader.append(buffer.readableBytesView)
    do {
      while let message = try reader.next(NLToController.self) {
        let id = id
        controller.assumeIsolated { $0.received(message, from: id) }
      }
    } catch {
      context.close(promise: nil)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    let id = id
    controller.assumeIsolated { $0.closed(id) }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
