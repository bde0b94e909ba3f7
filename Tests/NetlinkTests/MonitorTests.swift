import CLinux
import NetTypes
import Testing

@testable import Netlink

@Suite(.enabled(if: Kernel.isAllowed)) struct MonitorTests {
  @Test func `what changes in the namespace is told, and only to those who asked`() throws {
    let pair = try Pair()
    let monitor = try Monitor(.all, in: pair.a)
    let elsewhere = try Monitor(.all, in: Namespace.create())
    let addressOnly = try Monitor(.addresses, in: pair.a)
    let (address, prefix, gateway) = (try onLink("10.8.0.1/24"), try net("198.51.100.0/24"), try ip("10.7.0.2"))
    try pair.socketA.commit { batch in
      batch.addAddress(address, to: 7)
      batch.setNexthop(Nexthop(id: NexthopID(rawValue: 3), target: .gateway(gateway, 7), family: .ipv4))
      batch.setRoute(prefix, nexthop: NexthopID(rawValue: 3), protocol: .bgp)
      batch.setNexthop(Nexthop(id: NexthopID(rawValue: 4), target: .gateway(gateway, 7), family: .ipv4))
      batch.deleteNexthop(NexthopID(rawValue: 4))
      batch.setLink(7, up: false)
    }
    let events = try monitor.read().events
    #expect(events.contains(.address(LinkAddress(link: 7, address: address))))
    #expect(events.contains { if case .route(let route) = $0 { route.destination == prefix } else { false } })
    #expect(events.contains { if case .link(let link) = $0 { link.index == 7 && !link.isUp } else { false } })
    #expect(events.contains { if case .nexthopRemoved(let gone) = $0 { gone.id.rawValue == 4 } else { false } })
    #expect(try pair.socketA.nexthops().isEmpty, "the link took nexthop 3 with it, and no event said so")
    #expect(try elsewhere.read().events.isEmpty)
    #expect(
      try addressOnly.read().events.allSatisfy {
        switch $0 {
        case .address, .addressRemoved: true
        default: false
        }
      })
  }

  @Test func `echoes of a socket's own requests are dropped, others' deletions are not`() throws {
    let pair = try Pair()
    let monitor = try Monitor(.routes, in: pair.a)
    try monitor.ignore(causedBy: [1, pair.socketA.portID])
    let (prefix, prefix6) = (try net("198.51.100.0/24"), try net("2001:db8::/48"))
    let gateways = [try ip("10.7.0.2"), try ip("fd07::2")]
    try pair.socketA.commit { batch in
      batch.setRoute(Route(prefix, hops: [.init(gateways[0])], protocol: .bgp))
      batch.setRoute(Route(prefix6, hops: [.init(gateways[1])], protocol: .bgp))
    }
    // The kernel adds IPv6 routes of its own whenever it likes; only the two of this test count.
    let changed = { (event: KernelEvent) -> IPPrefix? in
      switch event {
      case .route(let route), .routeRemoved(let route): [prefix, prefix6].first { $0 == route.destination }
      default: nil
      }
    }
    #expect(try monitor.read().events.compactMap(changed) == [])
    _ = try Kernel.output(of: "ip route del \(prefix); ip -6 route del \(prefix6)", in: pair.a)
    let gone = try monitor.read().events.compactMap { event -> IPPrefix? in
      if case .routeRemoved = event { changed(event) } else { nil }
    }
    #expect(gone == [prefix, prefix6])
  }

  @Test func `a burst beyond the buffer is reported as missed`() throws {
    let pair = try Pair()
    let monitor = try Monitor(.addresses, in: pair.a, receiveBuffer: 4096)
    try pair.socketA.commit { batch in
      for host in 10..<250 as Range<UInt8> {
        if let address = InterfaceAddress(.v4(IPv4Address(10, 9, 0, host)), length: 32) {
          batch.addAddress(address, to: 7)
        }
      }
    }
    var missed = false
    while case let reading = try monitor.read(), !reading.events.isEmpty || reading.missedSome {
      missed = missed || reading.missedSome
    }
    #expect(missed)
    #expect(try pair.socketA.addresses(of: 7).count >= 240)
  }
}
