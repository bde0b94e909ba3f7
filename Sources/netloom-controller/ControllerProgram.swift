import Controller
import Foundation
import Logging
import Northbound

/// `netloom-controller --run DIR`: the controller of the lab whose run directory that is. Started and restarted by
/// netloom-machine; ends with the lab.
@main
struct ControllerProgram {
  static func main() async {
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    let logger = Logger(label: "controller")
    let arguments = CommandLine.arguments
    guard arguments.count == 3, arguments[1] == "--run" else {
      FileHandle.standardError.write(Data("usage: netloom-controller --run DIR\n".utf8))
      exit(2)
    }
    // A client that hangs up is not the end of the controller.
    signal(SIGPIPE, SIG_IGN)
    do {
      let process = try ControllerProcess(runDirectory: arguments[2], logger: logger)
      try await process.controller.start()
      let server = APIServer(
        controller: process.controller, socket: process.apiSocket, loop: process.loop, logger: logger)
      try await server.run { logger.info("listening") }
    } catch {
      logger.critical("\(error)")
      exit(1)
    }
  }
}
