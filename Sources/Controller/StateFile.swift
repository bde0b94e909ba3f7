internal import ControlProtocol
internal import Foundation
internal import Intent
internal import SwiftProtobuf

/// What a restarted controller must know beyond the topology (`controller.state`): which versions the nodes hold, so
/// that nothing is reset, and which faults stand, so that they are neither undone nor forgotten.
struct ControllerState: Codable, Sendable, Equatable {
  /// Resource type -> what was last sent, per node.
  var nodes: [String: [String: SentResource]] = [:]
  var faults = FaultLedger()
  /// Nodes that run an agent though the topology that stands asks for none: they got one for a change.
  var startedAgents: Set<String> = []
  /// Weights that `mesh split` has set: by service, then version.
  var splits: [String: [String: Int]] = [:]
  /// Pods of services that are not led to.
  var unwell: Set<String> = []
  /// What an autonomous system costs to reach: by pod, then by its number.
  var pathCosts: [String: [UInt32: UInt32]] = [:]

  /// A file that is absent or cannot be read is a fresh start: nodes say what they have applied.
  static func load(_ path: String) -> ControllerState? {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    return try? JSONDecoder().decode(ControllerState.self, from: data)
  }

  /// Replaces the file in one step, so that a crash leaves the old or the new one.
  func save(_ path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    try encoder.encode(self).write(to: URL(fileURLWithPath: path), options: .atomic)
  }
}

struct SentResource: Codable, Sendable, Equatable {
  var version: UInt64
  /// FNV-1a over the serialized message: tells whether a restarted controller wants the same.
  var digest: UInt64

  /// What a node holds after it did not say that it had undone a change. No message has this digest but by chance.
  static let unknown: UInt64 = 0

  static func digest(_ message: some Message) -> UInt64 {
    // Maps have no order of their own.
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    let bytes: [UInt8] = (try? message.serializedBytes(options: options)) ?? []
    return bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
  }
}

/// Faults that stand. `mend` undoes them all.
struct FaultLedger: Codable, Sendable, Equatable {
  /// Index of the link in the topology.
  var downLinks: Set<Int> = []
  var killedNodes: Set<String> = []
  /// By the end that sends, `NODE:IFACE`.
  var directions: [String: DirectionFault] = [:]
}
