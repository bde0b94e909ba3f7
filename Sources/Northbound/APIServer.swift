// The northbound API: HTTP/1.1 with JSON on the unix socket `api.sock` in the lab's run directory. Who may open the
// socket may do everything; there is no other authentication.
//
//   request ─► ErrorMiddleware ─► route (APIRoutes) ─► LabController (its event loop) ─► JSON
//
// Every endpoint is described in openapi.yaml; a test compares the two. Every error is an `APIError` document with the
// status that belongs to its code.

public import Controller
internal import Hummingbird
public import Logging
public import NIOCore

public struct APIServer: Sendable {
  private let controller: LabController
  private let socket: String
  private let loop: any EventLoop
  private let logger: Logger

  /// `loop` is the controller's: one thread does it all.
  public init(controller: LabController, socket: String, loop: any EventLoop, logger: Logger) {
    self.controller = controller
    self.socket = socket
    self.loop = loop
    self.logger = logger
  }

  /// Serves until the task is cancelled. A socket left by a controller that crashed is replaced. `listening` is called
  /// once requests are accepted.
  public func run(listening: @escaping @Sendable () async -> Void = {}) async throws {
    let router = APIRoutes(controller: controller).router()
    var quiet = logger
    quiet.logLevel = .warning
    let application = Application(
      router: router, configuration: ApplicationConfiguration(address: .unixDomainSocket(path: socket)),
      onServerRunning: { _ in await listening() }, eventLoopGroupProvider: .shared(loop), logger: quiet)
    try await application.run()
  }
}
