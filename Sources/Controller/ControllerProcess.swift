internal import ControlProtocol
internal import Foundation
public import Logging
public import NIOCore
internal import NIOPosix
internal import SwiftProtobuf

/// What a controller process is made of: the files of a run directory and one event loop.
public struct ControllerProcess: Sendable {
  public let controller: LabController
  public let loop: any EventLoop
  public let apiSocket: String
  /// Where the token of the API's TCP listener stands, if there is one.
  public let apiToken: String

  /// Why a run directory cannot be taken up. `up` has checked both files: something changed them since.
  public enum Failure: Error, CustomStringConvertible {
    case unreadable(String)
    case invalidPlan(String)
    case invalidTopology([String])

    public var description: String {
      switch self {
      case .unreadable(let path): "\(path) cannot be read"
      case .invalidPlan(let reason): "plan.pb: \(reason)"
      case .invalidTopology(let errors): errors.joined(separator: "\n")
      }
    }
  }

  public init(runDirectory: String, logger: Logger) throws {
    let run = RunDirectory(path: runDirectory)
    guard let bytes = FileManager.default.contents(atPath: run.plan) else { throw Failure.unreadable(run.plan) }
    let plan: NLMachinePlan
    do {
      plan = try NLMachinePlan(serializedBytes: bytes)
    } catch {
      throw Failure.invalidPlan("\(error)")
    }
    loop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
    apiSocket = run.apiSocket
    apiToken = run.path + "/api.token"
    controller = try LabController(plan: plan, run: run, loop: loop, logger: logger)
  }
}
