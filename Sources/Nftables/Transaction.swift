internal import CLinux
internal import Netlink

/// Changes to tables that the kernel takes as one: all of them are done at once between two packets, or none.
///
/// Each kind of object adds its own verbs (`add`, `delete`, `insert`, ...) in its own file. `NftablesSocket.commit` sends
/// it, in a single message to the kernel: there is no other way to be atomic, so its size is bounded by the socket's send
/// buffer (`NftablesSocket.largestTransaction`). Whether the kernel would take it can be asked before
/// (`NftablesSocket.check`).
///
/// nf_tables keeps a transaction apart while it is built (the "next generation"): names that were deleted earlier in it
/// are free again, and objects that were made earlier in it can be referred to.
public struct Transaction: ~Copyable {
  /// What a request of a transaction is about.
  public enum Subject: Hashable, Sendable {
    case table(TableID)
    case chain(ChainID)
    case set(TableID, String)
    case object(TableID, String)
    /// - Parameter index: place of the rule among those that this transaction adds to the chain.
    case rule(ChainID, index: Int, comment: String)
    case deletedRule(ChainID, RuleHandle?)
  }

  var batch: MessageBatch
  /// What each request is about, in order: `KernelError.message` of a refusal is a place in it.
  public private(set) var subjects: [Subject] = []
  /// What each request asks, in order.
  private(set) var operations: [TableOperation] = []
  /// Where each request starts in the batch.
  private var starts: [Int] = []
  private var setCount: UInt32 = 0
  private var rulesAdded: [ChainID: Int] = [:]
  private var isFinished = false

  /// - Parameter generation: the transaction is refused with ERESTART when another has been committed since.
  public init(onlyIn generation: Generation? = nil) {
    batch = MessageBatch(capacity: 16 << 10)
    batch.append(.batchBegin, [], nfgenmsg(subsystem: NFNL_SUBSYS_NFTABLES)) { batch in
      if let generation { batch.put(network: generation.rawValue, AttributeType(NFNL_BATCH_GENID)) }
    }
  }

  public var isEmpty: Bool { subjects.isEmpty }
  /// Requests in it.
  public var count: Int { subjects.count }
  /// Bytes that it takes in one sendmsg.
  public var size: Int { batch.length + (isFinished ? 0 : Self.endSize) }
  private static let endSize = MemoryLayout<nlmsghdr>.size + MemoryLayout<nfgenmsg>.size

  mutating func append(
    _ operation: TableOperation, _ flags: MessageFlags, _ family: TableFamily, about subject: Subject,
    attributes: (inout MessageBatch) -> Void
  ) {
    starts.append(batch.length)
    subjects.append(subject)
    operations.append(operation)
    batch.append(operation.messageType, flags, nfgenmsg(family), attributes: attributes)
  }

  /// A number by which later requests of this transaction mean a set that has no name yet.
  mutating func nextSetID() -> UInt32 {
    setCount += 1
    return setCount
  }

  mutating func nextRuleIndex(in chain: ChainID) -> Int {
    let index = rulesAdded[chain, default: 0]
    rulesAdded[chain] = index + 1
    return index
  }

  /// Numbers the messages from `sequence` on (the one that begins the batch has it) and, unless for a dry run, closes the
  /// batch. Only the last request asks for an acknowledgement: a refusal is always answered.
  mutating func finish(from sequence: UInt32, asDryRun: Bool = false) {
    if !isFinished, !asDryRun {
      batch.append(.batchEnd, [], nfgenmsg(subsystem: NFNL_SUBSYS_NFTABLES))
      isFinished = true
    }
    var offset = 0
    var number = sequence
    while offset < batch.length {
      let header = (batch.base + offset).assumingMemoryBound(to: nlmsghdr.self)
      header.pointee.nlmsg_seq = number
      if offset == starts.last { header.pointee.nlmsg_flags |= MessageFlags.acknowledge.rawValue }
      offset += (Int(header.pointee.nlmsg_len) + 3) & ~3
      number &+= 1
    }
  }

  /// The bytes of one request.
  private func request(_ index: Int) -> Message? {
    guard starts.indices.contains(index) else { return nil }
    return Message(
      UnsafeRawBufferPointer(start: batch.base + starts[index], count: batch.length - starts[index]))
  }

  /// Which expression of a refused rule holds the byte that the kernel points at.
  func expression(of index: Int, at offset: Int) -> (place: Int, name: String)? {
    guard let request = request(index), let base = request.bytes.baseAddress else { return nil }
    let target = base + offset
    for list in request.attributes(after: nfgenmsg.self) where list.type == AttributeType(NFTA_RULE_EXPRESSIONS) {
      for (place, element) in list.nested.enumerated() {
        guard let start = element.value.baseAddress, target < start + element.value.count else { continue }
        let name = element.nested.first { $0.type == AttributeType(NFTA_EXPR_NAME) }?.string
        return target >= list.value.baseAddress ?? target ? (place, name ?? "") : nil
      }
    }
    return nil
  }
}

extension Transaction.Subject: CustomStringConvertible {
  public var description: String {
    switch self {
    case .table(let table): "table \(table)"
    case .chain(let chain): "chain \(chain)"
    case .set(let table, let name): "set \(table) \(name)"
    case .object(let table, let name): "object \(table) \(name)"
    case .rule(let chain, let index, let comment):
      "rule \(index) of chain \(chain)" + (comment.isEmpty ? "" : " \"\(comment)\"")
    case .deletedRule(let chain, let handle?): "rule with handle \(handle.rawValue) of chain \(chain)"
    case .deletedRule(let chain, nil): "rules of chain \(chain)"
    }
  }
}
