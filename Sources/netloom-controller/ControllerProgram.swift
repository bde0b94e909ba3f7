import Controller
import Foundation
import Logging
import Northbound

/// `netloom-controller --run DIR [--api-listen FD]`: the controller of the lab whose run directory that is. Started and
/// restarted by netloom-machine; ends with the lab. FD listens on TCP: there the API wants a token.
@main
struct ControllerProgram {
  static func main() async {
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    let logger = Logger(label: "controller")
    let arguments = CommandLine.arguments
    let descriptor = arguments.count == 5 && arguments[3] == "--api-listen" ? Int32(arguments[4]) : nil
    guard arguments.count == 3 || descriptor != nil, arguments[1] == "--run" else {
      FileHandle.standardError.write(Data("usage: netloom-controller --run DIR [--api-listen FD]\n".utf8))
      exit(2)
    }
    // A client that hangs up is not the end of the controller.
    signal(SIGPIPE, SIG_IGN)
    do {
      let process = try ControllerProcess(runDirectory: arguments[2], logger: logger)
      try await process.controller.start()
      let listener = try descriptor.map {
        TokenListener(descriptor: $0, token: try APITokenFile.token(path: process.apiToken))
      }
      let server = APIServer(
        controller: process.controller, socket: process.apiSocket, loop: process.loop, logger: logger,
        inherited: listener)
      try await server.run { logger.info("listening") }
    } catch {
      logger.critical("\(error)")
      exit(1)
    }
  }
}
