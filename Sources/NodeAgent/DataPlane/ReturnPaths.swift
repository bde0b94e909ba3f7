// Connections that came in by a zoned interface are answered by it. Their clients may have the addresses of others, so no
// route to an address can tell where an answer belongs: the connection remembers it.
//
//   original packet, in by eth1 ──► `returns`: the connection's mark says eth1
//   answer ──► conntrack ──► `returns`: the packet gets the mark ──► rule of routing: fwmark ──► table: eth1's way
//
// Answers of the node itself pass `returns-local`.

internal import ControlProtocol
internal import NetTypes
internal import Netlink
internal import Nftables

/// Marks of packets that rules of routing ask for, and that `PolicyPaths` numbers.
enum RouteMark {
  /// Upper half: "NZ" and "NF", so that nobody meets them by chance.
  static func zoned(_ number: UInt32) -> UInt32 { 0x4E5A_0000 | number }
  static func redirect(_ number: UInt32) -> UInt32 { 0x4E46_0000 | number }
}

struct ZonedInterface {
  var name: InterfaceName
  var number: UInt32
  var origin: NLOrigin
  /// Of this interface; empty: clients stand on its link.
  var hops: [NLNextHop]

  /// In the order of the file.
  static func all(_ zones: [NLZone], _ interfaces: Set<String>) throws(Refusal) -> [ZonedInterface] {
    var all: [ZonedInterface] = []
    for zone in zones {
      let context = ConditionContext(origin: zone.origin, interfaces: interfaces)
      for name in try context.interfaceNames(zone.in) {
        guard !all.contains(where: { $0.name == name }) else {
          throw context.refusal("\(name.text) is in two zones")
        }
        guard all.count < PolicyPaths.mostReturns else {
          throw context.refusal("more than \(PolicyPaths.mostReturns) interfaces in zones")
        }
        all.append(
          ZonedInterface(
            name: name, number: UInt32(all.count), origin: zone.origin,
            hops: zone.returnHops.filter { $0.interface == name.text }))
      }
    }
    return all
  }
}

extension RuleBook {
  mutating func addReturn(_ zoned: ZonedInterface) {
    let mark = RouteMark.zoned(zoned.number)
    add(
      [.interfaceIn(zoned.name), .connectionDirection(.original)], [.setConnectionMark(mark)], to: .returns,
      zoned.origin)
    for chain in [BaseChainName.returns, .localReturns] {
      add([.connectionDirection(.reply), .connectionMark(mark)], [.setMark(mark)], to: chain, zoned.origin)
    }
  }
}

/// Where packets go that a flow rule redirects to an address: the ways that lead there now.
struct FlowRedirect: Hashable {
  /// Of its mark, rule and table.
  var number: UInt32
  /// Of the packets.
  var family: AddressFamily
  var hops: [Route.Hop]
}

extension PolicyPaths {
  mutating func add(_ zoned: ZonedInterface, _ links: some Collection<Link>) throws(Refusal) {
    guard let link = links.first(where: { $0.name == zoned.name.text }) else {
      throw Refusal(zoned.origin.text, "no interface \(zoned.name.text)", place: zoned.origin.place)
    }
    var hops: [AddressFamily: [Route.Hop]] = [:]
    for hop in zoned.hops {
      guard let gateway = IPAddress(hop.gateway) else {
        throw Refusal(zoned.origin.text, "a return hop needs an address", place: zoned.origin.place)
      }
      hops[gateway.family, default: []].append(Route.Hop(gateway, link: link.index, weight: max(1, hop.weight)))
    }
    if hops.isEmpty { for family in AddressFamily.allCases { hops[family] = [Route.Hop(nil, link: link.index)] } }
    addMarked(.returns, zoned.number, RouteMark.zoned(zoned.number), hops, zoned.origin)
  }

  mutating func add(_ redirect: FlowRedirect) {
    var origin = NLOrigin()
    origin.text = "flowspec redirect"
    addMarked(
      .redirects, redirect.number, RouteMark.redirect(redirect.number), [redirect.family: redirect.hops], origin)
  }
}
