internal import CLinux
import Glibc
public import NetTypes

/// Who installed a route or rule (rtm_protocol).
public struct RouteProtocol: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let unspecified = RouteProtocol(rawValue: 0)
  public static let kernel = RouteProtocol(rawValue: 2)
  public static let boot = RouteProtocol(rawValue: 3)
  public static let `static` = RouteProtocol(rawValue: 4)
  public static let bgp = RouteProtocol(rawValue: 186)
  /// Routes inside an AS that the controller computed: rtnetlink.h's number of OSPF, so `ip route` says `proto ospf`.
  public static let netloomIGP = RouteProtocol(rawValue: 188)
}

/// A routing table.
public struct RouteTable: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let main = RouteTable(rawValue: 254)
  public static let local = RouteTable(rawValue: 255)
}

/// What happens to packets of a route (rtm_type).
public struct RouteKind: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let unicast = RouteKind(rawValue: 1)
  public static let local = RouteKind(rawValue: 2)
  /// Dropped silently.
  public static let blackhole = RouteKind(rawValue: 6)
  /// Refused with ICMP host unreachable.
  public static let unreachable = RouteKind(rawValue: 7)
  public static let prohibit = RouteKind(rawValue: 8)
}

/// A route of the kernel (`ip route`).
public struct Route: Hashable, Sendable {
  /// One way out.
  public struct Hop: Hashable, Sendable {
    /// May be IPv6 under an IPv4 destination (RTA_VIA). nil: the destination is on the link.
    public var gateway: IPAddress?
    /// nil in a request: looked up by gateway.
    public var link: InterfaceIndex?
    public var weight: UInt32
    /// The gateway is on the link although no address there covers it.
    public var isOnLink: Bool
    /// Not used now: the link is down or lost its carrier (RTNH_F_DEAD, RTNH_F_LINKDOWN). Answers only.
    public var isDead = false

    public init(_ gateway: IPAddress? = nil, link: InterfaceIndex? = nil, weight: UInt32 = 1, isOnLink: Bool = false) {
      self.gateway = gateway
      self.link = link
      self.weight = weight
      self.isOnLink = isOnLink
    }
  }

  public var destination: IPPrefix
  public var kind: RouteKind
  public var table: RouteTable
  public var `protocol`: RouteProtocol
  /// RTA_PRIORITY: smaller wins. 0 in a request is the kernel's default (IPv6 shows it as 1024).
  public var metric: UInt32
  public var hops: [Hop]
  /// Then `hops` is what the kernel shows of it, empty when `nexthop_compat_mode` is 0.
  public var nexthop: NexthopID?
  /// RTA_PREFSRC.
  public var source: IPAddress?

  public init(
    _ destination: IPPrefix, hops: [Hop] = [], nexthop: NexthopID? = nil, kind: RouteKind = .unicast,
    protocol: RouteProtocol = .static, metric: UInt32 = 0, table: RouteTable = .main, source: IPAddress? = nil
  ) {
    self.destination = destination
    self.kind = kind
    self.table = table
    self.protocol = `protocol`
    self.metric = metric
    self.hops = hops
    self.nexthop = nexthop
    self.source = source
  }
}

extension Route {
  init?(_ message: Message) {
    guard let header = message.header(as: rtmsg.self), let family = AddressFamily(number: header.rtm_family),
      header.rtm_flags & UInt32(RTM_F_CLONED) == 0
    else { return nil }
    let anywhere: IPAddress = family == .ipv4 ? .v4(IPv4Address(rawValue: 0)) : .v6(IPv6Address(high: 0, low: 0))
    guard let any = IPPrefix(anywhere, length: 0) else { return nil }
    self.init(
      any, kind: RouteKind(rawValue: header.rtm_type), protocol: RouteProtocol(rawValue: header.rtm_protocol),
      table: RouteTable(rawValue: UInt32(header.rtm_table)))
    var single = Hop()
    var hasSingle = false
    for attribute in message.attributes(after: rtmsg.self) {
      switch UInt32(attribute.type.rawValue) {
      case RTA_DST.rawValue:
        if let address = attribute.address, let prefix = IPPrefix(address, length: Int(header.rtm_dst_len)) {
          destination = prefix
        }
      case RTA_TABLE.rawValue: table = RouteTable(rawValue: attribute.integer() ?? table.rawValue)
      case RTA_PRIORITY.rawValue: metric = attribute.integer() ?? 0
      case RTA_PREFSRC.rawValue: source = attribute.address
      case RTA_NH_ID.rawValue: nexthop = attribute.integer().map(NexthopID.init(rawValue:))
      case RTA_MULTIPATH.rawValue: hops = Self.hops(attribute.value)
      default: hasSingle = single.read(attribute) || hasSingle
      }
    }
    guard hasSingle, kind == .unicast || kind == .local else { return }
    single.readFlags(header.rtm_flags)
    if hops.isEmpty { hops = [single] }
  }

  /// The value of RTA_MULTIPATH: a run of `rtnexthop`, each with attributes of its own.
  private static func hops(_ bytes: UnsafeRawBufferPointer) -> [Hop] {
    var hops: [Hop] = []
    var rest = bytes
    let headerSize = MemoryLayout<rtnexthop>.size
    while rest.count >= headerSize {
      let header = rest.loadUnaligned(as: rtnexthop.self)
      let length = Int(header.rtnh_len)
      guard length >= headerSize, length <= rest.count else { break }
      var hop = Hop(
        link: InterfaceIndex(rawValue: UInt32(bitPattern: header.rtnh_ifindex)), weight: UInt32(header.rtnh_hops) + 1)
      hop.readFlags(UInt32(header.rtnh_flags))
      for attribute in Attributes(UnsafeRawBufferPointer(rebasing: rest[headerSize..<length])) {
        _ = hop.read(attribute)
      }
      hops.append(hop)
      rest = UnsafeRawBufferPointer(rebasing: rest[min((length + 3) & ~3, rest.count)...])
    }
    return hops
  }
}

extension Route.Hop {
  /// false: not an attribute of a hop.
  fileprivate mutating func read(_ attribute: Attribute) -> Bool {
    switch UInt32(attribute.type.rawValue) {
    case RTA_OIF.rawValue:
      link = attribute.integer().map(InterfaceIndex.init(rawValue:))
    case RTA_GATEWAY.rawValue:
      gateway = attribute.address
    case RTA_VIA.rawValue:  // struct rtvia: a family, then the address
      guard attribute.value.count > 2 else { return false }
      gateway = IPAddress(bytes: attribute.value[2...])
    default: return false
    }
    return true
  }

  fileprivate mutating func readFlags(_ flags: UInt32) {
    isOnLink = flags & UInt32(RTNH_F_ONLINK) != 0
    isDead = flags & UInt32(RTNH_F_DEAD | RTNH_F_LINKDOWN) != 0
  }
}

extension NetlinkSocket {
  /// What a route dump is restricted to; nil: not at all.
  public struct RouteFilter: Sendable {
    public var family: AddressFamily?
    public var `protocol`: RouteProtocol?
    public var table: RouteTable?
    /// Left out; cheaper than leaving out afterwards, when a full table of it stands in the kernel.
    public var excluded: RouteProtocol?

    public init(
      family: AddressFamily? = nil, protocol: RouteProtocol? = nil, table: RouteTable? = .main,
      excluding excluded: RouteProtocol? = nil
    ) {
      self.family = family
      self.protocol = `protocol`
      self.table = table
      self.excluded = excluded
    }

    func admits(_ route: Route) -> Bool {
      (`protocol` ?? route.protocol) == route.protocol && (table ?? route.table) == route.table
        && (family ?? route.destination.family) == route.destination.family
    }
  }

  /// The routes of the namespace. The kernel filters where it can (strict checking); the rest is filtered here.
  public func routes(_ filter: RouteFilter = RouteFilter()) throws(KernelError) -> [Route] {
    var found: [Route] = []
    for family in filter.family.map({ [$0] }) ?? AddressFamily.allCases {
      var header = rtmsg()
      header.rtm_family = family.number
      header.rtm_protocol = filter.protocol?.rawValue ?? 0
      let large = filter.table.flatMap { $0.rawValue > UInt32(UInt8.max) ? $0.rawValue : nil }
      header.rtm_table = large == nil ? filter.table.map { UInt8(clamping: $0.rawValue) } ?? 0 : 0
      do throws(KernelError) {
        found += try dump(
          .getRoute, header, attributes: { if let large { $0.put(AttributeType(RTA_TABLE), large) } },
          decode: { message in
            if let excluded = filter.excluded, message.header(as: rtmsg.self)?.rtm_protocol == excluded.rawValue {
              return nil
            }
            guard let route = Route(message), filter.admits(route) else { return nil }
            return route
          })
      } catch {
        // A table exists while it has routes, or did once.
        guard large != nil, error.isNotThere else { throw error }
      }
    }
    return found
  }

  /// The route that packets to `address` take now (`ip route get`); nil: none.
  public func route(to address: IPAddress) throws(KernelError) -> Route? {
    var header = rtmsg()
    header.rtm_family = address.family.number
    header.rtm_dst_len = UInt8(address.family.bits)
    header.rtm_flags = UInt32(RTM_F_FIB_MATCH)
    do throws(KernelError) {
      return try get(
        .getRoute, header, attributes: { $0.put(AttributeType(RTA_DST), address) }, decode: Route.init)
    } catch {
      guard error.number == ENETUNREACH || error.number == EHOSTUNREACH else { throw error }
      return nil
    }
  }
}
