internal import CLinux
import Glibc
public import NetTypes

extension MessageBatch {
  /// What to do where a route of the same destination, table and metric stands.
  public enum RouteMode: Sendable {
    /// Refuse with EEXIST.
    case add
    /// Take its place; add it where there is none.
    case replace
    /// Stand beside it.
    case append

    var flags: MessageFlags {
      switch self {
      case .add: [.create, .exclusive]
      case .replace: [.create, .replace]
      case .append: [.create, .append]
      }
    }
  }

  public mutating func setRoute(_ route: Route, _ mode: RouteMode = .replace) {
    append(.newRoute, mode.flags, rtmsg(route)) { $0.put(route) }
  }

  /// Deletes the route of this destination, table and metric; its protocol and hops must match where they are given.
  public mutating func deleteRoute(_ route: Route) {
    var header = rtmsg(route)
    header.rtm_scope = UInt8(RT_SCOPE_NOWHERE.rawValue)  // any
    append(.deleteRoute, [], header) { $0.put(route) }
  }

  /// The short form of `setRoute` for table loads: a unicast route of table main through a nexthop object.
  public mutating func setRoute(
    _ destination: IPPrefix, nexthop: NexthopID, protocol: RouteProtocol, metric: UInt32 = 0
  ) {
    append(.newRoute, [.create, .replace], rtmsg(destination, `protocol`)) { batch in
      batch.put(AttributeType(RTA_DST), destination.address)
      if metric != 0 { batch.put(AttributeType(RTA_PRIORITY), metric) }
      batch.put(AttributeType(RTA_NH_ID), nexthop.rawValue)
    }
  }

  /// The short form of `deleteRoute` for table loads: whatever its next hop.
  public mutating func deleteRoute(_ destination: IPPrefix, protocol: RouteProtocol, metric: UInt32 = 0) {
    var header = rtmsg(destination, `protocol`)
    header.rtm_scope = UInt8(RT_SCOPE_NOWHERE.rawValue)
    append(.deleteRoute, [], header) { batch in
      batch.put(AttributeType(RTA_DST), destination.address)
      if metric != 0 { batch.put(AttributeType(RTA_PRIORITY), metric) }
    }
  }

  private mutating func put(_ route: Route) {
    put(AttributeType(RTA_DST), route.destination.address)
    put(AttributeType(RTA_TABLE), route.table.rawValue)
    if route.metric != 0 { put(AttributeType(RTA_PRIORITY), route.metric) }
    if let source = route.source { put(AttributeType(RTA_PREFSRC), source) }
    if let nexthop = route.nexthop {
      put(AttributeType(RTA_NH_ID), nexthop.rawValue)
    } else if route.hops.count > 1 {
      nest(AttributeType(RTA_MULTIPATH), flagged: false) { batch in
        for hop in route.hops {
          batch.sized(rtnexthop(hop), \.rtnh_len) { $0.putGateway(hop, under: route.destination.family) }
        }
      }
    } else if let hop = route.hops.first {
      if let link = hop.link { put(AttributeType(RTA_OIF), link.rawValue) }
      putGateway(hop, under: route.destination.family)
    }
  }

  private mutating func putGateway(_ hop: Route.Hop, under family: AddressFamily) {
    guard let gateway = hop.gateway else { return }
    if gateway.family == family {
      put(AttributeType(RTA_GATEWAY), gateway)
    } else {
      let number = UInt16(gateway.family.number)
      put(AttributeType(RTA_VIA), [UInt8(number & 255), UInt8(number >> 8)] + gateway.bytes)
    }
  }
}

extension rtmsg {
  init(_ destination: IPPrefix, _ protocol: RouteProtocol) {
    self.init()
    rtm_family = destination.family.number
    rtm_dst_len = destination.length
    rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
    rtm_type = RouteKind.unicast.rawValue
    rtm_protocol = `protocol`.rawValue
  }

  init(_ route: Route) {
    self.init(route.destination, route.protocol)
    rtm_table = UInt8(clamping: route.table.rawValue)
    rtm_type = route.kind.rawValue
    if route.kind == .local {
      rtm_scope = UInt8(RT_SCOPE_HOST.rawValue)
    } else if route.kind == .unicast, route.nexthop == nil, !route.hops.isEmpty,
      route.hops.allSatisfy({ $0.gateway == nil })
    {
      rtm_scope = UInt8(RT_SCOPE_LINK.rawValue)
    }
    if route.hops.count == 1, route.hops[0].isOnLink { rtm_flags = UInt32(RTNH_F_ONLINK) }
  }
}

extension rtnexthop {
  init(_ hop: Route.Hop) {
    self.init()
    rtnh_hops = UInt8(clamping: max(1, hop.weight) - 1)
    rtnh_ifindex = Int32(bitPattern: hop.link?.rawValue ?? 0)
    if hop.isOnLink { rtnh_flags = UInt8(RTNH_F_ONLINK) }
  }
}
