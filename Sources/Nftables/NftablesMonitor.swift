internal import CLinux
public import Netlink

/// A change to the tables of a namespace, as the kernel tells it when a transaction is committed.
public struct NftablesEvent: Hashable, Sendable {
  /// What changed.
  public enum Object: Hashable, Sendable {
    case table(TableID)
    case chain(ChainID)
    case set(TableID, String)
    /// Elements of a set or map.
    case elements(TableID, String)
    case rule(ChainID, RuleHandle, comment: String)
    /// The end of a transaction: everything told before it, since the end of the last, was part of it.
    case commit(Commit)
  }

  public var object: Object
  /// Taken away; otherwise new or changed.
  public var isRemoved: Bool
  /// The socket that committed it (`NftablesSocket.portID`); nft's are other numbers.
  public var portID: UInt32

  /// nil: of a kind that this module does not read (stateful objects, flow tables, traces).
  init?(_ message: Message) {
    guard let operation = TableOperation(message.type), let header = message.header(as: nfgenmsg.self)
    else { return nil }
    let family = TableFamily(rawValue: header.nfgen_family)
    portID = message.portID
    isRemoved = [.deleteTable, .deleteChain, .deleteSet, .deleteElements, .deleteRule].contains(operation)
    let text = { (number: AttributeType) in
      message.attributes(after: nfgenmsg.self).first { $0.type == number }?.string ?? ""
    }
    switch operation {
    case .newTable, .deleteTable: object = .table(TableID(family, text(AttributeType(NFTA_TABLE_NAME))))
    case .newChain, .deleteChain:
      let table = TableID(family, text(AttributeType(NFTA_CHAIN_TABLE)))
      object = .chain(ChainID(table, text(AttributeType(NFTA_CHAIN_NAME))))
    case .newSet, .deleteSet:
      object = .set(TableID(family, text(AttributeType(NFTA_SET_TABLE))), text(AttributeType(NFTA_SET_NAME)))
    case .newElements, .deleteElements:
      let table = TableID(family, text(AttributeType(NFTA_SET_ELEM_LIST_TABLE)))
      object = .elements(table, text(AttributeType(NFTA_SET_ELEM_LIST_SET)))
    case .newRule, .deleteRule:
      guard let (chain, handle, comment) = StandingRule.place(message) else { return nil }
      object = .rule(chain, handle, comment: comment)
    case .newGeneration:
      guard let commit = Commit(message) else { return nil }
      object = .commit(commit)
    default: return nil
    }
  }
}

/// A subscription to changes of the tables of one namespace: a descriptor to poll and `read`.
public final class NftablesMonitor {
  /// One `read`.
  public struct Reading: Sendable {
    public var events: [NftablesEvent] = []
    /// The kernel had more to say than the buffer holds: read everything afresh.
    public var missedSome = false
    /// More is waiting.
    public var mayHaveMore = false

    /// Whether anything was changed by a socket other than these.
    public func hasChanges(notBy portIDs: Set<UInt32>) -> Bool {
      missedSome || events.contains { !portIDs.contains($0.portID) }
    }
  }

  private let events: NetfilterEvents

  /// - Parameters:
  ///   - namespace: nil: the calling thread's.
  ///   - receiveBuffer: bytes. A transaction of more rules than fit (about 1,000 in a mebibyte) shows as `missedSome`.
  public init(in namespace: Namespace? = nil, receiveBuffer: Int = 4 << 20) throws(KernelError) {
    events = try NetfilterEvents([.tables], in: namespace, receiveBuffer: receiveBuffer)
  }

  /// To be polled for reading.
  public var fileDescriptor: Int32 { events.netlink.fileDescriptor }

  /// Lets the kernel drop what transactions of these sockets cause, before it reaches the buffer.
  public func ignore(causedBy portIDs: [UInt32]) throws(KernelError) { try events.netlink.ignore(causedBy: portIDs) }

  /// What has arrived, without waiting.
  /// - Parameter datagrams: most to take in this call.
  public func read(datagrams: Int = 256) throws(KernelError) -> Reading {
    var reading = Reading()
    let look = try events.read(datagrams: datagrams) { message in
      if let event = NftablesEvent(message) { reading.events.append(event) }
    }
    reading.missedSome = look.missedSome
    reading.mayHaveMore = look.mayHaveMore
    return reading
  }
}
