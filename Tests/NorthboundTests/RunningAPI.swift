import ControlProtocol
import Controller
import Foundation
import Intent
import Logging
import NIOCore
import NIOPosix
import Northbound
import NorthboundClient
import Testing
import Topology

/// The API of a controller that no process of a lab has joined.
final class RunningAPI: Sendable {
  let directory: RunDirectory
  let controller: LabController
  private let serving: Task<Void, any Error>

  var client: NorthboundClient { NorthboundClient(socket: directory.apiSocket) }

  /// `listener`: a bound TCP socket that the API serves too, to whoever has the token.
  init(listener: TokenListener? = nil) async throws {
    directory = RunDirectory(path: "/tmp/nlapi-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
    let text = """
      name: pair
      topology:
        nodes:
          customer: {kind: router, asn: 64500, networks: [203.0.113.0/24]}
          isp1: {kind: router, asn: 64496}
        links:
          - {endpoints: ["customer:eth1", "isp1:eth1"], relation: customer-provider}
      """
    try Data(text.utf8).write(to: URL(fileURLWithPath: directory.topology))
    let parsed = TopologyFile.parse(text: text, file: "lab.yaml", baseDirectory: directory.path)
    let lab = try #require(parsed.value, "\(parsed.diagnostics)")
    let plan = machinePlan(
      of: lab, in: PlanContext(environment: [], machine: "here", programs: "/nowhere", topology: directory.topology))
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let controller = try LabController(plan: plan, run: directory, loop: loop, logger: logger)
    try await controller.start()
    self.controller = controller
    let server = APIServer(
      controller: controller, socket: directory.apiSocket, loop: loop, logger: logger, inherited: listener)
    let (ready, announce) = AsyncStream.makeStream(of: Void.self)
    serving = Task { try await server.run { announce.finish() } }
    for await _ in ready {}
  }

  deinit {
    serving.cancel()
    try? FileManager.default.removeItem(atPath: directory.path)
  }

  struct Response {
    var status: Int
    var body: String
  }

  /// A request as bytes, so that what no client would send can be sent.
  func raw(_ method: String, _ target: String, body: String? = nil) async throws -> Response {
    var text = "\(method) \(target) HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n"
    text += "Content-Length: \(body?.utf8.count ?? 0)\r\n\r\n\(body ?? "")"
    let (stream, feed) = AsyncStream.makeStream(of: ByteBuffer.self)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Collector(feed)) }
      }
      .connect(unixDomainSocketPath: directory.apiSocket).get()
    // The server may refuse a large body before all of it is written.
    channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
    var answer = ""
    for await bytes in stream { answer += String(buffer: bytes) }
    let parts = answer.components(separatedBy: "\r\n\r\n")
    let status = answer.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return Response(status: status, body: parts.dropFirst().joined())
  }

  private final class Collector: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    private let feed: AsyncStream<ByteBuffer>.Continuation
    init(_ feed: AsyncStream<ByteBuffer>.Continuation) { self.feed = feed }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { feed.yield(unwrapInboundIn(data)) }
    func channelInactive(context: ChannelHandlerContext) { feed.finish() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
