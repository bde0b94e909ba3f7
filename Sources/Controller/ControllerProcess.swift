internal import ControlProtocol
internal import Foundation
public import Logging
public import NIOCore
internal import NIOPosix
internal import SwiftProtobuf
internal import Topology

/// What a controller process is made of: the files of a run directory, read once, and one event loop.
public struct ControllerProcess: Sendable {
  public let controller: LabController
  public let loop: any EventLoop
  public let apiSocket: String

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
    guard let text = FileManager.default.contents(atPath: run.topology) else { throw Failure.unreadable(run.topology) }
    let parsed = TopologyFile.parse(
      text: String(decoding: text, as: UTF8.self), file: run.topology, baseDirectory: plan.baseDirectory)
    guard var lab = parsed.value else { throw Failure.invalidTopology(parsed.errors.map(\.description)) }
    // `up --name` gives the lab another name than the file.
    lab.name = plan.lab
    loop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
    apiSocket = run.apiSocket
    controller = LabController(lab: lab, plan: plan, run: run, loop: loop, logger: logger)
  }
}
