// The northbound API: HTTP/1.1 with JSON on the unix socket `api.sock` in the lab's run directory, and where it was asked
// for on a TCP socket that the controller inherits. Who may open the unix socket may do everything; by TCP the token of
// `api.token` is needed.
//
//   request ─► ErrorMiddleware ─► (BearerToken) ─► RateLimits ─► route (APIRoutes) ─► LabController (its event loop) ─► JSON
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
  private let inherited: TokenListener?

  /// `loop` is the controller's: one thread does it all.
  public init(
    controller: LabController, socket: String, loop: any EventLoop, logger: Logger, inherited: TokenListener? = nil
  ) {
    self.inherited = inherited
    self.controller = controller
    self.socket = socket
    self.loop = loop
    self.logger = logger
  }

  /// Serves until the task is cancelled. A socket left by a controller that crashed is replaced. `listening` is called
  /// once requests are accepted.
  public func run(listening: @escaping @Sendable () async -> Void = {}) async throws {
    var quiet = logger
    quiet.logLevel = .warning
    let application = Application(
      router: APIRoutes(controller: controller).router(),
      configuration: ApplicationConfiguration(address: .unixDomainSocket(path: socket)),
      onServerRunning: { _ in await listening() }, eventLoopGroupProvider: .shared(loop), logger: quiet)
    guard let inherited else { return try await application.run() }
    let responder = APIRoutes(controller: controller, token: inherited.token).router().buildResponder()
    try await withThrowingTaskGroup(of: Void.self) { [quiet, loop] group in
      group.addTask { try await application.run() }
      group.addTask { try await inherited.run(responder, loop: loop, logger: quiet) }
      try await group.next()
      group.cancelAll()
    }
  }
}
