internal import NetTypes
internal import Netlink

/// What one round of decisions asks of the kernel, in the order in which it is asked: nexthop objects that routes will
/// name, the routes, then the objects that nothing names any more.
struct Round: Sendable {
  struct RouteWrite: Sendable {
    var prefix: IPPrefix
    /// nil: the route goes.
    var nexthop: NexthopID?
  }

  struct NexthopWrite: Sendable {
    var nexthop: Nexthop
    /// It is to be made. Otherwise it is to be there, and routes name it: one that the kernel has flushed meanwhile
    /// must be refused, since a new one of the same number would have none of them.
    var isNew: Bool
  }

  /// Others' routes in our place or under our protocol. They go first: IPv6 takes a route by its metric and protocol,
  /// whatever its next hop (ip6_route_del of net/ipv6/route.c), and ours is written after them.
  var strangers: [Route] = []
  var nexthops: [NexthopWrite] = []
  var routes: [RouteWrite] = []
  var unused: [NexthopID] = []
  /// Version of Loc-RIB that the kernel holds once this is done; nil: part of a larger change.
  var version: UInt64?
  /// Replaces objects that many routes name: without `nexthop_compat_mode` 0 the kernel announces each route.
  var movesManyRoutes = false

  var isEmpty: Bool { count == 0 }

  /// Requests it makes.
  var count: Int { strangers.count + nexthops.count + routes.count + unused.count }
}

/// What the kernel made of a round.
struct RoundResult: Sendable {
  var version: UInt64?
  var requests = 0
  var refusedNexthops: [(NexthopID, KernelError)] = []
  var refusedRoutes: [(IPPrefix, KernelError)] = []
  /// The socket itself failed; nothing is known of what was not refused.
  var failure: KernelError?
}

/// Where BGP's routes stand among others for the same prefix: behind connected (0, IPv6 256) and static ones (0, IPv6
/// 1024), so that a neighbor that announces one of our subnets does not take it from us.
func metric(of family: AddressFamily) -> UInt32 { family == .ipv4 ? 20 : 1044 }

extension Round {
  /// Sends it all, and says what was refused.
  func write(to socket: NetlinkSocket, as protocol: RouteProtocol) -> RoundResult {
    var result = RoundResult(version: version, requests: count)
    var batch = MessageBatch(capacity: min(1 << 20, 256 + routes.count * 56 + nexthops.count * 64))
    for stranger in strangers { batch.deleteRoute(stranger) }
    for write in nexthops { batch.setNexthop(write.nexthop, create: write.isNew) }
    for route in routes {
      let metric = metric(of: route.prefix.family)
      if let nexthop = route.nexthop {
        batch.setRoute(route.prefix, nexthop: nexthop, protocol: `protocol`, metric: metric)
      } else {
        batch.deleteRoute(route.prefix, protocol: `protocol`, metric: metric)
      }
    }
    for id in unused { batch.deleteNexthop(id) }
    do throws(KernelError) {
      for refusal in try socket.commitReportingEach(&batch) { note(refusal, in: &result) }
    } catch {
      result.failure = error
    }
    return result
  }

  private func note(_ refusal: KernelError, in result: inout RoundResult) {
    // A stranger that is not there any more is as wanted.
    guard let place = refusal.message.map({ $0 - strangers.count }), place >= 0 else { return }
    if place < nexthops.count {
      result.refusedNexthops.append((nexthops[place].nexthop.id, refusal))
    } else if place < nexthops.count + routes.count {
      let route = routes[place - nexthops.count]
      // A route that is to go and is not there is as wanted.
      if route.nexthop == nil && refusal.isNotThere { return }
      result.refusedRoutes.append((route.prefix, refusal))
    }  // an unused object that is not there: the kernel flushed it with its link
  }
}
