internal import CLinux
internal import Glibc
public import NetTypes
public import Netlink

/// An operation of the subsystem ctnetlink (enum cntl_msg_types).
struct ConntrackOperation: Hashable, Sendable {
  let rawValue: UInt8
  private init(_ operation: cntl_msg_types) { rawValue = UInt8(operation.rawValue) }

  /// The operation of a message; nil when it is of another subsystem.
  init?(_ type: MessageType) {
    guard type.rawValue >> 8 == NFNL_SUBSYS_CTNETLINK else { return nil }
    rawValue = UInt8(type.rawValue & 0xFF)
  }

  static let new = ConntrackOperation(IPCTNL_MSG_CT_NEW)
  static let get = ConntrackOperation(IPCTNL_MSG_CT_GET)
  static let delete = ConntrackOperation(IPCTNL_MSG_CT_DELETE)

  var messageType: MessageType { MessageType(rawValue: UInt16(NFNL_SUBSYS_CTNETLINK) << 8 | UInt16(rawValue)) }
}

extension ConntrackOperation: CustomStringConvertible {
  /// The kernel's name.
  var description: String {
    switch self {
    case .new: "IPCTNL_MSG_CT_NEW"
    case .get: "IPCTNL_MSG_CT_GET"
    case .delete: "IPCTNL_MSG_CT_DELETE"
    default: "IPCTNL_MSG_CT \(rawValue)"
    }
  }
}

/// A NETLINK_NETFILTER socket that reads and forgets the tracked connections of one namespace.
///
/// Connections are tracked in namespaces only where a rule asks for it: NAT, `ct`, connection limits.
///
/// Not safe for use by two threads at once; may be handed from one to another.
public final class ConntrackSocket {
  private let netlink: NetlinkSocket

  /// - Parameter namespace: nil: the calling thread's.
  public init(in namespace: Namespace? = nil) throws(KernelError) {
    netlink = try NetlinkSocket(
      protocol: NETLINK_NETFILTER, in: namespace, receiveBuffer: NetlinkSocket.defaultReceiveBuffer,
      sendLimit: 64 << 10)
  }

  /// Every tracked connection, or those of one family.
  public func entries(_ family: AddressFamily? = nil) throws(KernelError) -> [ConntrackEntry] {
    try attempt(.get) { () throws(KernelError) in
      try netlink.dump(
        ConntrackOperation.get.messageType, nfgenmsg(family), decode: ConntrackEntry.init)
    }
  }

  /// Some entries in the kernel's order, and how many there are in all. A full table has hundreds of thousands: only what
  /// is asked for is decoded. (ctnetlink never asks for a dump to be begun again, so counting while reading is safe.)
  public func entries(from offset: Int, atMost limit: Int) throws(KernelError) -> (page: [ConntrackEntry], total: Int) {
    var total = 0
    let page = try attempt(.get) { () throws(KernelError) in
      try netlink.dump(ConntrackOperation.get.messageType, nfgenmsg(nil)) { message in
        defer { total += 1 }
        return total >= offset && total - offset < limit ? ConntrackEntry(message) : nil
      }
    }
    return (page, total)
  }

  /// The entry of a connection, by the tuple of either direction; nil when there is none.
  public func entry(of tuple: ConntrackTuple, zone: UInt16 = 0) throws(KernelError) -> ConntrackEntry? {
    try attempt(.get) { () throws(KernelError) in
      try netlink.get(
        ConntrackOperation.get.messageType, nfgenmsg(tuple.family),
        attributes: { batch in
          batch.put(AttributeType(CTA_TUPLE_ORIG), tuple)
          if zone != 0 { batch.put(network: zone, AttributeType(CTA_ZONE)) }
        }, decode: ConntrackEntry.init)
    }
  }

  /// Forgets one connection; ENOENT (`KernelError.isNotThere`) when it is gone already, or another has taken its place.
  public func delete(_ entry: ConntrackEntry) throws(KernelError) {
    try request(entry.original.family) { batch in
      batch.put(AttributeType(CTA_TUPLE_ORIG), entry.original, zone: entry.originalZone)
      if entry.zone != 0 { batch.put(network: entry.zone, AttributeType(CTA_ZONE)) }
      if let id = entry.id { batch.put(network: id, AttributeType(CTA_ID)) }
    }
  }

  /// Forgets every connection, or those of one family.
  public func flush(_ family: AddressFamily? = nil) throws(KernelError) { try request(family) { _ in } }

  private func request(
    _ family: AddressFamily?, _ attributes: (inout MessageBatch) -> Void
  ) throws(KernelError) {
    var batch = MessageBatch(capacity: 512)
    var header = nfgenmsg(family)
    // ctnetlink_del_conntrack of the kernel's net/netfilter/nf_conntrack_netlink.c: version 0 flushes every family.
    header.version = 1
    batch.append(ConntrackOperation.delete.messageType, [], header, attributes: attributes)
    try attempt(.delete) { () throws(KernelError) in try netlink.commit(&batch) }
  }

  private func attempt<Result>(
    _ operation: ConntrackOperation, _ body: () throws(KernelError) -> Result
  ) throws(KernelError) -> Result {
    do throws(KernelError) {
      return try body()
    } catch {
      throw error.of(operation)
    }
  }
}

extension nfgenmsg {
  fileprivate init(_ family: AddressFamily?) {
    self.init(family.map { TableFamily(rawValue: $0.netfilterNumber) } ?? .any)
  }
}
