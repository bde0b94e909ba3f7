internal import CLinux
internal import Glibc
public import Netlink

/// A NETLINK_NETFILTER socket that reads and changes the tables of one namespace.
///
/// A transaction goes to the kernel in one `sendmsg`; the kernel works through it inside that call, so its answers wait
/// in the receive queue when it returns.
///
/// Without CAP_NET_ADMIN in the first user namespace the send buffer cannot be forced (SO_SNDBUFFORCE: EPERM) and ends at
/// twice net.core.wmem_max: 8,388,608 bytes where the kernel's default is 4 MiB (since Linux 6.18), 425,984 before.
/// `largestTransaction` says what it came to, and a larger one is refused with EMSGSIZE before anything is sent. What is
/// too large as rules often fits as elements: a set or map holds in about 40 bytes what a rule takes 200 to 500 for.
///
/// Not safe for use by two threads at once; may be handed from one to another.
public final class NftablesSocket {
  let netlink: NetlinkSocket

  /// - Parameters:
  ///   - namespace: nil: the calling thread's.
  ///   - sendLimit: bytes of the largest transaction wanted; `largestTransaction` says what came of it.
  public init(in namespace: Namespace? = nil, sendLimit: Int = 64 << 20) throws(KernelError) {
    netlink = try NetlinkSocket(
      protocol: NETLINK_NETFILTER, in: namespace, receiveBuffer: NetlinkSocket.defaultReceiveBuffer,
      sendLimit: sendLimit)
  }

  /// The address of this socket within its namespace: events that its transactions cause carry it.
  public var portID: UInt32 { netlink.portID }

  /// Bytes of the largest transaction that one sendmsg takes: `netlink_sendmsg` of the kernel's
  /// net/netlink/af_netlink.c keeps 32 bytes of the send buffer for itself.
  public var largestTransaction: Int {
    var size: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(netlink.fileDescriptor, SOL_SOCKET, SO_SNDBUF, &size, &length) == 0 else { return 0 }
    return Int(size) - 32
  }

  /// The number of the present content.
  public func generation() throws(KernelError) -> Generation { try lastCommit().generation }

  /// The present content's number, and who made it.
  public func lastCommit() throws(KernelError) -> Commit {
    let operation = TableOperation.getGeneration
    let commit = try attempt(operation) { () throws(KernelError) in
      try netlink.get(operation.messageType, nfgenmsg(), attributes: { _ in }, decode: Commit.init)
    }
    guard let commit else { throw KernelError(number: EPROTO, call: operation.description) }
    return commit
  }

  /// Makes the changes of `transaction`, all of them or, when it throws, none.
  ///
  /// A thrown error names the first refused request: `message` is its place among the transaction's `subjects`,
  /// `subject` says it in words, with the expression of a rule that the kernel pointed at. ERESTART without a place: the
  /// transaction was made for a generation that is gone (`KernelError.isOutdated`).
  public func commit(_ transaction: inout Transaction) throws(KernelError) {
    try deliver(&transaction, asDryRun: false)
  }

  /// Asks whether the kernel would take `transaction`, and changes nothing: what `nft -c` does. A batch that does not end
  /// with NFNL_MSG_BATCH_END is worked through, its chains are validated, and everything is taken back
  /// (NFNL_ABORT_VALIDATE of the kernel's net/netfilter/nfnetlink.c). Throws as `commit` does; the transaction can be
  /// committed afterwards. What only the validation of a whole chain finds (masquerade outside of postrouting) is told of
  /// tables that stand, not of those that the transaction makes.
  public func check(_ transaction: inout Transaction) throws(KernelError) {
    try deliver(&transaction, asDryRun: true)
  }

  private func deliver(_ transaction: inout Transaction, asDryRun: Bool) throws(KernelError) {
    guard !transaction.isEmpty else { return }
    let limit = largestTransaction
    guard transaction.size <= limit else {
      throw KernelError(
        number: EMSGSIZE, call: "nftables transaction",
        subject: "\(transaction.size) bytes in \(transaction.count) requests",
        kernelText: "one transaction may have \(limit) bytes here: twice net.core.wmem_max without root")
    }
    let first = netlink.nextSequence()
    for _ in 0...transaction.count { _ = netlink.nextSequence() }
    transaction.finish(from: first, asDryRun: asDryRun)
    try netlink.send(UnsafeRawBufferPointer(start: transaction.batch.base, count: transaction.batch.length))
    try awaitOutcome(of: transaction, from: first)
  }

  /// All answers wait already. A refusal of the whole (permission, generation, commit) carries the number of the message
  /// that begins the batch; of thousands of refusals those that did not fit the receive buffer show as ENOBUFS.
  private func awaitOutcome(of transaction: borrowing Transaction, from first: UInt32) throws(KernelError) {
    var refusal: KernelError?
    var lost: KernelError?
    var isAcknowledged = false
    while true {
      do throws(KernelError) {
        guard var rest = try netlink.receiveQueued() else { break }
        while let message = Message(rest) {
          rest = UnsafeRawBufferPointer(rebasing: rest[min(message.stride, rest.count)...])
          let place = Int(message.sequence &- first) - 1
          guard message.type == .error, place < transaction.count else { continue }
          guard let found = message.refusal else {
            isAcknowledged = isAcknowledged || place == transaction.count - 1
            continue
          }
          if refusal == nil { refusal = describe(found, at: place, in: transaction) }
        }
      } catch {
        guard error.number == ENOBUFS else { throw error }
        lost = error.of("nftables transaction")
      }
    }
    if let refusal = refusal ?? lost { throw refusal }
    guard isAcknowledged else { throw KernelError(number: EPROTO, call: "nftables transaction", subject: "no answer") }
  }

  private func describe(
    _ refusal: KernelError, at place: Int, in transaction: borrowing Transaction
  ) -> KernelError {
    var refusal = refusal
    guard place >= 0 else { return refusal.of("nftables transaction") }
    refusal.message = place
    refusal.call = transaction.operations[place].description
    refusal.subject = transaction.subjects[place].description
    if let offset = refusal.offset, let (index, name) = transaction.expression(of: place, at: offset) {
      refusal.subject += ", expression \(index) (\(name))"
    }
    return refusal
  }

  /// Reads with refusals named after what was asked.
  func attempt<Result>(
    _ operation: TableOperation, _ body: () throws(KernelError) -> Result
  ) throws(KernelError) -> Result {
    do throws(KernelError) {
      return try body()
    } catch {
      throw error.of(operation)
    }
  }
}

extension KernelError {
  /// The transaction was made for a content of the tables that is no longer the present one: read again.
  public var isOutdated: Bool { number == ERESTART }
}
