internal import CLinux
internal import Glibc
internal import Netlink

/// A group of netfilter's notifications (enum nfnetlink_groups).
struct NetfilterGroup: Hashable, Sendable {
  let rawValue: UInt32
  private init(_ group: nfnetlink_groups) { rawValue = group.rawValue }

  static let newConnections = NetfilterGroup(NFNLGRP_CONNTRACK_NEW)
  static let changedConnections = NetfilterGroup(NFNLGRP_CONNTRACK_UPDATE)
  static let endedConnections = NetfilterGroup(NFNLGRP_CONNTRACK_DESTROY)
  static let tables = NetfilterGroup(NFNLGRP_NFTABLES)
}

/// A subscription to some groups: what both monitors of this module read from.
struct NetfilterEvents {
  let netlink: NetlinkSocket

  init(_ groups: [NetfilterGroup], in namespace: Namespace?, receiveBuffer: Int) throws(KernelError) {
    netlink = try NetlinkSocket(
      protocol: NETLINK_NETFILTER, in: namespace, receiveBuffer: receiveBuffer, sendLimit: 64 << 10)
    for group in groups {
      var number = group.rawValue
      let size = socklen_t(MemoryLayout<UInt32>.size)
      guard mnl_socket_setsockopt(netlink.socket, NETLINK_ADD_MEMBERSHIP, &number, size) == 0 else {
        throw KernelError(call: "setsockopt", subject: "NETLINK_ADD_MEMBERSHIP \(number)")
      }
    }
  }

  /// What one look found.
  struct Look {
    /// The kernel had more to say than the buffer holds.
    var missedSome = false
    var mayHaveMore = false
  }

  /// Hands over each message that waits.
  /// - Parameter datagrams: most to take in this call.
  func read(datagrams: Int, _ each: (Message) -> Void) throws(KernelError) -> Look {
    var look = Look()
    for _ in 0..<datagrams {
      do throws(KernelError) {
        guard var rest = try netlink.receiveQueued() else { return look }
        while let message = Message(rest) {
          rest = UnsafeRawBufferPointer(rebasing: rest[min(message.stride, rest.count)...])
          each(message)
        }
      } catch {
        guard error.number == ENOBUFS else { throw error }
        look.missedSome = true
      }
    }
    look.mayHaveMore = true
    return look
  }
}
