internal import CLinux
import Glibc

/// What changed in a namespace.
public enum KernelEvent: Hashable, Sendable {
  /// New, or anything about it changed.
  case link(Link)
  case linkRemoved(Link)
  case address(LinkAddress)
  case addressRemoved(LinkAddress)
  /// New or replaced.
  case route(Route)
  /// Not sent for IPv4 routes that go with their interface: those vanish silently.
  case routeRemoved(Route)
  case nexthop(Nexthop)
  /// Deleted on request; the routes through it are gone too. Not sent for those that the kernel flushes when their
  /// interface goes down or loses its carrier: after a link event, read `NetlinkSocket.nexthops`.
  case nexthopRemoved(Nexthop)
  /// New or changed. Counters make no event.
  case qdisc(Qdisc)
  /// Its classes are gone with it, and no event says so. With handle `none`: the kernel's default made room for another.
  case qdiscRemoved(Qdisc)
  case trafficClass(TrafficClass)
  case trafficClassRemoved(TrafficClass)
  /// New or changed.
  case filter(TrafficFilter)
  case filterRemoved(TrafficFilter)
  case rule(Rule)
  case ruleRemoved(Rule)
}

/// A subscription to changes in one namespace: a descriptor to poll and `read`.
public final class Monitor {
  /// What to be told of (RTNLGRP_*).
  public struct Subject: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let links = Subject(rawValue: 1)
    public static let addresses = Subject(rawValue: 2)
    public static let routes = Subject(rawValue: 4)
    public static let nexthops = Subject(rawValue: 8)
    /// Qdiscs, classes and filters.
    public static let traffic = Subject(rawValue: 16)
    /// Of policy routing.
    public static let rules = Subject(rawValue: 32)
    public static let all: Subject = [.links, .addresses, .routes, .nexthops, .traffic, .rules]

    fileprivate var groups: [UInt32] {
      let pairs: [(Subject, [UInt32])] = [
        (.links, [RTNLGRP_LINK.rawValue]),
        (.addresses, [RTNLGRP_IPV4_IFADDR.rawValue, RTNLGRP_IPV6_IFADDR.rawValue]),
        (.routes, [RTNLGRP_IPV4_ROUTE.rawValue, RTNLGRP_IPV6_ROUTE.rawValue]),
        (.nexthops, [RTNLGRP_NEXTHOP.rawValue]),
        (.traffic, [RTNLGRP_TC.rawValue]),
        (.rules, [RTNLGRP_IPV4_RULE.rawValue, RTNLGRP_IPV6_RULE.rawValue]),
      ]
      return pairs.flatMap { contains($0.0) ? $0.1 : [] }
    }
  }

  /// One `read`.
  public struct Reading: Sendable {
    public var events: [KernelEvent] = []
    /// The kernel had more to say than the buffer holds: read everything afresh.
    public var missedSome = false
    /// More is waiting.
    public var mayHaveMore = false
  }

  private let netlink: NetlinkSocket

  /// - Parameters:
  ///   - namespace: nil: the calling thread's.
  ///   - receiveBuffer: bytes. A burst of route changes beyond it is reported as `missedSome`.
  public init(_ subjects: Subject, in namespace: Namespace? = nil, receiveBuffer: Int = 4 << 20) throws(KernelError) {
    if let namespace {
      netlink = try NetlinkSocket(in: namespace, receiveBuffer: receiveBuffer)
    } else {
      netlink = try NetlinkSocket(receiveBuffer: receiveBuffer)
    }
    for var group in subjects.groups {
      let size = socklen_t(MemoryLayout<UInt32>.size)
      guard mnl_socket_setsockopt(netlink.socket, NETLINK_ADD_MEMBERSHIP, &group, size) == 0 else {
        throw KernelError(call: "setsockopt", subject: "NETLINK_ADD_MEMBERSHIP \(group)")
      }
    }
    let flags = nl_get_flags(netlink.fileDescriptor)
    guard flags >= 0, nl_set_flags(netlink.fileDescriptor, flags | O_NONBLOCK) == 0 else {
      throw KernelError(call: "fcntl", subject: "O_NONBLOCK")
    }
  }

  /// To be polled for reading.
  public var fileDescriptor: Int32 { netlink.fileDescriptor }

  /// Lets the kernel drop, before they reach the buffer, the notifications that requests of these sockets caused
  /// (`NetlinkSocket.portID`): a table load must not drown its own writer in echoes.
  public func ignore(causedBy portIDs: [UInt32]) throws(KernelError) { try netlink.ignore(causedBy: portIDs) }

  /// What has arrived, without waiting.
  /// - Parameter datagrams: most to take in this call.
  public func read(datagrams: Int = 64) throws(KernelError) -> Reading {
    var reading = Reading()
    for _ in 0..<datagrams {
      do throws(KernelError) {
        var rest = try netlink.receive()
        while let message = Message(rest) {
          rest = UnsafeRawBufferPointer(rebasing: rest[min(message.stride, rest.count)...])
          if let event = KernelEvent(message) { reading.events.append(event) }
        }
      } catch {
        switch error.number {
        case EAGAIN: return reading
        case ENOBUFS: reading.missedSome = true
        default: throw error
        }
      }
    }
    reading.mayHaveMore = true
    return reading
  }
}

extension KernelEvent {
  init?(_ message: Message) {
    let event: KernelEvent? =
      switch message.type {
      case .newLink: Link(message).map(KernelEvent.link)
      case .deleteLink: Link(message).map(KernelEvent.linkRemoved)
      case .newAddress: LinkAddress(message).map(KernelEvent.address)
      case .deleteAddress: LinkAddress(message).map(KernelEvent.addressRemoved)
      case .newRoute: Route(message).map(KernelEvent.route)
      case .deleteRoute: Route(message).map(KernelEvent.routeRemoved)
      case .newNexthop: Nexthop(message).map(KernelEvent.nexthop)
      case .deleteNexthop: Nexthop(message).map(KernelEvent.nexthopRemoved)
      case .newQdisc: Qdisc(message).map(KernelEvent.qdisc)
      case .deleteQdisc: Qdisc(message).map(KernelEvent.qdiscRemoved)
      case .newClass: TrafficClass(message).map(KernelEvent.trafficClass)
      case .deleteClass: TrafficClass(message).map(KernelEvent.trafficClassRemoved)
      case .newFilter: TrafficFilter(message).map(KernelEvent.filter)
      case .deleteFilter: TrafficFilter(message).map(KernelEvent.filterRemoved)
      case .newRule: Rule(message).map(KernelEvent.rule)
      case .deleteRule: Rule(message).map(KernelEvent.ruleRemoved)
      default: nil
      }
    guard let event else { return nil }
    self = event
  }
}

extension NetlinkSocket {
  /// A filter on what arrives: no notification that one of these sockets caused.
  package func ignore(causedBy portIDs: [UInt32]) throws(KernelError) {
    var program = [sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: 12)]  // nlmsg_pid
    for (index, port) in portIDs.enumerated() {
      let toDrop = UInt8(portIDs.count - index)
      program.append(sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: toDrop, jf: 0, k: port.bigEndian))
    }
    program.append(sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: UInt32.max))
    program.append(sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: 0))
    guard nl_attach_filter(fileDescriptor, program, UInt16(program.count)) == 0 else {
      throw KernelError(call: "setsockopt", subject: "SO_ATTACH_FILTER")
    }
  }
}
