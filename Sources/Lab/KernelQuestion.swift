// What the kernel can do, asked of the kernel: each feature is tried in the namespace that this process is in, which
// is a throw-away one. An answer that names the feature as unknown means no; any other complaint (a missing option,
// say) comes from code that is there.

internal import CLinux
internal import EventLoop
internal import Glibc

/// One netlink socket for small questions.
struct KernelQuestion: ~Copyable {
  private let socket: FileDescriptor
  private var buffer = [UInt8](repeating: 0, count: 4096)

  init(_ netlinkProtocol: Int32) throws(SystemError) {
    let kind = Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue)
    socket = FileDescriptor(owning: try systemCall("socket") { Glibc.socket(AF_NETLINK, kind, netlinkProtocol) })
  }

  /// Whether links of the kind (`veth`, `vrf`) can be made.
  mutating func hasLink(_ kind: String) -> Bool {
    let error = ask(UInt16(RTM_NEWLINK), create) { message in
      _ = mnl_nlmsg_put_extra_header(message, MemoryLayout<ifinfomsg>.size)
      mnl_attr_put_strz(message, UInt16(IFLA_IFNAME), "nl-probe")
      let info = mnl_attr_nest_start(message, UInt16(IFLA_LINKINFO))
      mnl_attr_put_strz(message, UInt16(IFLA_INFO_KIND), kind)
      mnl_attr_nest_end(message, info)
    }
    if error == 0 { removeProbeLink() }
    return error != EOPNOTSUPP && error != EPERM
  }

  /// Whether the queueing discipline (`htb`, `netem`) is there; tried on `lo`.
  mutating func hasQueueingDiscipline(_ kind: String) -> Bool {
    let error = ask(Self.newQdisc, create) { message in
      Self.putTrafficControlHeader(message)
      mnl_attr_put_strz(message, Self.qdiscKind, kind)
    }
    if error == 0 { _ = ask(Self.deleteQdisc, 0) { Self.putTrafficControlHeader($0) } }
    return error != ENOENT && error != EOPNOTSUPP && error != EPERM
  }

  /// Nexthop objects (Linux 5.3).
  mutating func hasNexthopObjects() -> Bool {
    let error = ask(UInt16(RTM_NEWNEXTHOP), create) { message in
      let header = mnl_nlmsg_put_extra_header(message, MemoryLayout<nhmsg>.size)
      header?.assumingMemoryBound(to: nhmsg.self).pointee.nh_family = UInt8(AF_INET)
      mnl_attr_put_u32(message, UInt16(NHA_ID), 1)
      mnl_attr_put(message, UInt16(NHA_BLACKHOLE), 0, nil)
    }
    return error != EOPNOTSUPP && error != EPERM
  }

  private let create = UInt16(NLM_F_CREATE | NLM_F_EXCL)

  private mutating func removeProbeLink() {
    _ = ask(UInt16(RTM_DELLINK), 0) { message in
      _ = mnl_nlmsg_put_extra_header(message, MemoryLayout<ifinfomsg>.size)
      mnl_attr_put_strz(message, UInt16(IFLA_IFNAME), "nl-probe")
    }
  }

  /// Sends one request and returns the errno of its acknowledgement, 0 when it was done.
  private mutating func ask(
    _ type: UInt16, _ flags: UInt16, _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void
  ) -> Int32 {
    let raw = socket.rawValue
    return buffer.withUnsafeMutableBytes { bytes -> Int32 in
      guard let start = bytes.baseAddress, let message = mnl_nlmsg_put_header(start) else { return EINVAL }
      message.pointee.nlmsg_type = type
      message.pointee.nlmsg_flags = UInt16(NLM_F_REQUEST | NLM_F_ACK) | flags
      body(message)
      guard send(raw, start, Int(message.pointee.nlmsg_len), 0) > 0 else { return SystemError.last("send").code }
      let count = recv(raw, start, bytes.count, 0)
      guard count >= MemoryLayout<nlmsghdr>.size + 4 else { return EIO }
      // The acknowledgement is an nlmsgerr: a negative errno stands first in it (linux/netlink.h).
      return -bytes.loadUnaligned(fromByteOffset: MemoryLayout<nlmsghdr>.size, as: Int32.self)
    }
  }

  // linux/pkt_sched.h and rtnetlink.h, which CLinux imports only in part.
  private static let newQdisc: UInt16 = 36
  private static let deleteQdisc: UInt16 = 37
  private static let qdiscKind: UInt16 = 1
  private static let rootParent: UInt32 = 0xFFFF_FFFF

  private static func putTrafficControlHeader(_ message: UnsafeMutablePointer<nlmsghdr>) {
    let header = mnl_nlmsg_put_extra_header(message, MemoryLayout<tcmsg>.size)?.assumingMemoryBound(to: tcmsg.self)
    header?.pointee.tcm_ifindex = 1
    header?.pointee.tcm_parent = rootParent
  }
}

/// nftables: a table made and thrown away in one batch.
enum NftablesQuestion {
  static func works() -> Bool {
    guard
      let socket = try? FileDescriptor(
        owning: systemCall("socket") { Glibc.socket(AF_NETLINK, Int32(SOCK_RAW.rawValue), 12) })
    else { return false }
    var buffer = [UInt8](repeating: 0, count: 1024)
    let raw = socket.rawValue
    return buffer.withUnsafeMutableBytes { bytes in
      guard var next = bytes.baseAddress else { return false }
      let end = next + bytes.count
      // NFNL_MSG_BATCH_BEGIN, NFT_MSG_NEWTABLE in subsystem 10 (nf_tables), NFNL_MSG_BATCH_END.
      for (type, wantsAnswer) in [(UInt16(16), false), (10 << 8, true), (17, false)] {
        guard next < end, let message = mnl_nlmsg_put_header(next) else { return false }
        message.pointee.nlmsg_type = type
        message.pointee.nlmsg_flags = UInt16(NLM_F_REQUEST) | (wantsAnswer ? UInt16(NLM_F_ACK | NLM_F_CREATE) : 0)
        // struct nfgenmsg: family (inet 1), version 0, resource id: the subsystem in network order on batch messages.
        let header = mnl_nlmsg_put_extra_header(message, 4)?.assumingMemoryBound(to: UInt8.self)
        header?[0] = wantsAnswer ? 1 : 0
        header?[3] = wantsAnswer ? 0 : 10
        if wantsAnswer { mnl_attr_put_strz(message, 1, "nl-probe") }
        next += Int(message.pointee.nlmsg_len)
      }
      guard let start = bytes.baseAddress, send(raw, start, next - start, 0) > 0 else { return false }
      var patience = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
      guard poll(&patience, 1, 1000) > 0, recv(raw, start, bytes.count, 0) >= MemoryLayout<nlmsghdr>.size + 4 else {
        return false
      }
      return bytes.loadUnaligned(fromByteOffset: MemoryLayout<nlmsghdr>.size, as: Int32.self) == 0
    }
  }
}

/// Options of TCP sockets that BGP sessions use.
enum SocketQuestion {
  /// TCP-MD5 (RFC 2385): a key for 127.0.0.1 in a `struct tcp_md5sig` of linux/tcp.h.
  static func hasMD5() -> Bool {
    var key = tcp_md5sig()
    key.tcpm_addr.ss_family = sa_family_t(AF_INET)
    key.tcpm_keylen = 1
    return withUnsafeBytes(of: &key) { accepts(IPPROTO_TCP, TCP_MD5SIG, $0) == 0 }
  }

  /// TCP-AO (RFC 5925), TCP_AO_ADD_KEY of Linux 6.7: unknown where it is not built in.
  static func hasAO() -> Bool {
    withUnsafeBytes(of: UInt64(0)) { accepts(IPPROTO_TCP, 38, $0) } != ENOPROTOOPT
  }

  /// GTSM (RFC 5082) through IP_MINTTL.
  static func hasGTSM() -> Bool {
    withUnsafeBytes(of: Int32(255)) { accepts(IPPROTO_IP, 21, $0) } == 0
  }

  /// Packet sockets, which libpcap captures by.
  static func mayCapture() -> Bool {
    let everyProtocol = Int32(UInt16(0x0003).bigEndian)
    let descriptor = socket(AF_PACKET, Int32(SOCK_RAW.rawValue), everyProtocol)
    if descriptor >= 0 { close(descriptor) }
    return descriptor >= 0
  }

  /// The errno of setting the option on a fresh TCP socket; 0: accepted.
  private static func accepts(_ level: Int, _ option: Int32, _ value: UnsafeRawBufferPointer) -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    let result = setsockopt(descriptor, Int32(level), option, value.baseAddress, socklen_t(value.count))
    return result == 0 ? 0 : SystemError.last("setsockopt").code
  }
}
