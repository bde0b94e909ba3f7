internal import CLinux
internal import Glibc
internal import Netlink

/// An operation of the subsystem nf_tables (enum nf_tables_msg_types).
struct TableOperation: Hashable, Sendable {
  let rawValue: UInt8
  private init(_ operation: nf_tables_msg_types) { rawValue = UInt8(operation.rawValue) }

  /// The operation of a message; nil when it is of another subsystem.
  init?(_ type: MessageType) {
    guard type.rawValue >> 8 == NFNL_SUBSYS_NFTABLES else { return nil }
    rawValue = UInt8(type.rawValue & 0xFF)
  }

  static let newTable = TableOperation(NFT_MSG_NEWTABLE)
  static let getTable = TableOperation(NFT_MSG_GETTABLE)
  static let deleteTable = TableOperation(NFT_MSG_DELTABLE)
  static let newChain = TableOperation(NFT_MSG_NEWCHAIN)
  static let getChain = TableOperation(NFT_MSG_GETCHAIN)
  static let deleteChain = TableOperation(NFT_MSG_DELCHAIN)
  static let newRule = TableOperation(NFT_MSG_NEWRULE)
  static let getRule = TableOperation(NFT_MSG_GETRULE)
  static let deleteRule = TableOperation(NFT_MSG_DELRULE)
  static let newSet = TableOperation(NFT_MSG_NEWSET)
  static let getSet = TableOperation(NFT_MSG_GETSET)
  static let deleteSet = TableOperation(NFT_MSG_DELSET)
  static let newElements = TableOperation(NFT_MSG_NEWSETELEM)
  static let getElements = TableOperation(NFT_MSG_GETSETELEM)
  static let deleteElements = TableOperation(NFT_MSG_DELSETELEM)
  static let getObject = TableOperation(NFT_MSG_GETOBJ)
  static let deleteObject = TableOperation(NFT_MSG_DELOBJ)
  static let getFlowtable = TableOperation(NFT_MSG_GETFLOWTABLE)
  static let deleteFlowtable = TableOperation(NFT_MSG_DELFLOWTABLE)
  static let newGeneration = TableOperation(NFT_MSG_NEWGEN)
  static let getGeneration = TableOperation(NFT_MSG_GETGEN)

  private static let names: [TableOperation: String] = [
    .newTable: "NEWTABLE", .getTable: "GETTABLE", .deleteTable: "DELTABLE", .newChain: "NEWCHAIN",
    .getChain: "GETCHAIN", .deleteChain: "DELCHAIN", .newRule: "NEWRULE", .getRule: "GETRULE",
    .deleteRule: "DELRULE", .newSet: "NEWSET", .getSet: "GETSET", .deleteSet: "DELSET",
    .newElements: "NEWSETELEM", .getElements: "GETSETELEM", .deleteElements: "DELSETELEM",
    .getObject: "GETOBJ", .deleteObject: "DELOBJ", .getFlowtable: "GETFLOWTABLE", .deleteFlowtable: "DELFLOWTABLE",
    .newGeneration: "NEWGEN", .getGeneration: "GETGEN",
  ]

  var messageType: MessageType { MessageType(rawValue: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(rawValue)) }
}

extension TableOperation: CustomStringConvertible {
  /// The kernel's name.
  var description: String { "NFT_MSG_" + (Self.names[self] ?? String(rawValue)) }
}

extension MessageType {
  // Both ends of what the kernel takes as one change (nfnetlink.h).
  static let batchBegin = MessageType(rawValue: UInt16(NFT_BATCH_BEGIN))
  static let batchEnd = MessageType(rawValue: UInt16(NFT_BATCH_END))
}

extension nfgenmsg {
  init(_ family: TableFamily = .any, subsystem: Int32 = 0) {
    self.init()
    nfgen_family = family.rawValue
    version = UInt8(NFNETLINK_V0)
    res_id = UInt16(subsystem).bigEndian
  }
}

// Numbers of netfilter's messages travel in network order.
extension MessageBatch {
  mutating func put(network value: UInt16, _ type: AttributeType) { put(type, value.bigEndian) }
  mutating func put(network value: UInt32, _ type: AttributeType) { put(type, value.bigEndian) }
  mutating func put(network value: UInt64, _ type: AttributeType) {
    withUnsafeBytes(of: value.bigEndian) { put(type, bytes: $0) }
  }
}

extension Attribute {
  func network<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type = Value.self) -> Value? {
    integer(type).map(Value.init(bigEndian:))
  }
}

extension KernelError {
  /// The same refusal under the name of what was asked.
  func of(_ operation: some CustomStringConvertible) -> KernelError {
    var error = self
    error.call = operation.description
    return error
  }
}
