internal import CLinux
internal import Netlink

/// The number of the present content of all tables of a namespace: each transaction, whoever commits it, counts it up.
public struct Generation: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// What the kernel says at the end of each transaction (enum nft_gen_attributes).
public struct Commit: Hashable, Sendable {
  public var generation: Generation
  /// Who committed, as the first namespace of processes numbers it.
  public var process: UInt32?
  /// At most 15 bytes.
  public var processName: String

  init?(_ message: Message) {
    var number: UInt32?
    processName = ""
    for attribute in message.attributes(after: nfgenmsg.self) {
      switch attribute.type {
      case AttributeType(NFTA_GEN_ID): number = attribute.network()
      case AttributeType(NFTA_GEN_PROC_PID): process = attribute.network()
      case AttributeType(NFTA_GEN_PROC_NAME): processName = attribute.string
      default: break
      }
    }
    guard let number else { return nil }
    generation = Generation(rawValue: number)
  }
}
