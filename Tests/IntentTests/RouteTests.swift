import ControlProtocol
import Foundation
import NetTypes
import SwiftProtobuf
import Testing
import Topology

@testable import Intent

/// "PREFIX cost COST via GATEWAY%IFACE …", the kind in front of what is not unicast.
private func lines(_ set: NLRouteSet?, ipv6: Bool = false) -> [String] {
  (set?.routes ?? []).compactMap { route in
    guard let address = IPAddress(bytes: route.prefix.address), (address.family == .ipv6) == ipv6 else { return nil }
    let prefix = "\(address)/\(route.prefix.length)"
    guard route.kind == .unicast else { return "\(route.kind) \(prefix)" }
    let hops = route.nextHops.map { "\(IPAddress(bytes: $0.gateway).map(\.description) ?? "-")%\($0.interface)" }
    let cost = route.origin == .igp ? " cost \(route.igpCost)" : " \(route.origin)"
    return "\(prefix)\(cost) via \(hops.joined(separator: " "))"
  }
}

@Suite("Routes of a node")
struct RouteTests {
  @Test("the shortest paths of a triangle, equal ones together, the other AS left out")
  func shortestPaths() throws {
    let sets = LabIntent(try lab(triangle)).routeSets(during: .none)
    // Worked out by hand: r3 is 1 + 1 over r2 and 2 directly; the r2-r3 link is 1 + 1 over r2, 2 + 1 over r3.
    #expect(
      lines(sets["r1"]) == [
        "10.1.23.0/24 cost 2 via 10.1.12.2%eth1",
        "10.255.0.2/32 cost 1 via 10.1.12.2%eth1",
        "10.255.0.3/32 cost 2 via 10.1.12.2%eth1 10.1.13.3%eth3",
        "172.16.0.0/24 cost 2 via 10.1.12.2%eth1",
        "unreachable 192.0.2.0/24",
      ])
    #expect(
      lines(sets["r3"]) == [
        "10.1.12.0/24 cost 2 via 10.1.23.2%eth2",
        "10.255.0.1/32 cost 2 via 10.1.23.2%eth2 10.1.13.1%eth3",
        "10.255.0.2/32 cost 1 via 10.1.23.2%eth2",
        "172.16.0.0/24 cost 2 via 10.1.23.2%eth2",
      ])
    #expect(lines(sets["e1"]) == ["unreachable 198.51.100.0/24"])
    #expect(sets["h1"] == nil, "hosts have no agent")
  }

  @Test("a link that fails moves the paths to the other side")
  func linkDown() throws {
    let sets = LabIntent(try lab(triangle)).routeSets(during: Outage(links: [0]))
    #expect(
      lines(sets["r1"]) == [
        "10.1.23.0/24 cost 3 via 10.1.13.3%eth3",
        "10.255.0.2/32 cost 3 via 10.1.13.3%eth3",
        "10.255.0.3/32 cost 2 via 10.1.13.3%eth3",
        "172.16.0.0/24 cost 4 via 10.1.13.3%eth3",
        "unreachable 192.0.2.0/24",
      ])
  }

  @Test("a stopped router carries nothing and gets nothing")
  func killed() throws {
    let sets = LabIntent(try lab(triangle)).routeSets(during: Outage(links: [0, 1, 4], nodes: ["r2"]))
    #expect(sets["r2"] == nil)
    #expect(
      lines(sets["r1"]) == ["10.255.0.3/32 cost 2 via 10.1.13.3%eth3", "unreachable 192.0.2.0/24"])
  }

  @Test("IPv6 follows its own addresses")
  func ipv6() throws {
    let resolved = try lab(triangle)
    let far = try #require(resolved.links[0].b.address(.ipv6))
    let loopback = try #require(resolved.node("r2")?.loopback(.ipv6))
    let routes = lines(LabIntent(resolved).routeSets(during: .none)["r1"], ipv6: true)
    #expect(routes.contains("\(loopback)/128 cost 1 via \(far)%eth1"))
  }

  @Test("a static route beats BGP (20 in FIB), BGP beats the AS's own, both beat the guard, in each family")
  func metrics() {
    #expect(RouteMetric.static.value(.ipv4) < 20)
    #expect(20 < RouteMetric.igp.value(.ipv4))
    #expect(RouteMetric.static.value(.ipv6) < 1044)
    #expect(1044 < RouteMetric.igp.value(.ipv6))
    #expect(RouteMetric.igp.value(.ipv6) < RouteMetric.unreachable.value(.ipv6))
  }

  /// A switched segment inside one AS; a router behind it.
  ///
  ///     r1 ─┐        ┌─ r3 ── r4
  ///         sw1 ── sw2
  ///     r2 ─┘
  private let lan = """
    name: lan
    topology:
      nodes:
        r1: {kind: router, asn: 65000, loopback: [10.255.0.1/32]}
        r2: {kind: router, asn: 65000, loopback: [10.255.0.2/32]}
        r3: {kind: router, asn: 65000, loopback: [10.255.0.3/32]}
        r4: {kind: router, asn: 65000, loopback: [10.255.0.4/32]}
        sw1: {kind: switch}
        sw2: {kind: switch}
      links:
        - {endpoints: ["r1:eth1", "sw1:p1"], addresses: [[10.2.0.1/24], []]}
        - {endpoints: ["r2:eth1", "sw1:p2"], addresses: [[10.2.0.2/24], []]}
        - {endpoints: ["sw1:p9", "sw2:p9"]}
        - {endpoints: ["r3:eth1", "sw2:p1"], addresses: [[10.2.0.3/24], []]}
        - {endpoints: ["r3:eth2", "r4:eth1"], addresses: [[10.3.0.3/24], [10.3.0.4/24]]}
    """

  @Test("over switches the next hop is the router on the far side")
  func overSwitches() throws {
    let intent = LabIntent(try lab(lan))
    #expect(
      lines(intent.routeSets(during: .none)["r1"]) == [
        "10.3.0.0/24 cost 2 via 10.2.0.3%eth1",
        "10.255.0.2/32 cost 1 via 10.2.0.2%eth1",
        "10.255.0.3/32 cost 1 via 10.2.0.3%eth1",
        "10.255.0.4/32 cost 2 via 10.2.0.3%eth1",
      ])
    // The trunk splits the segment: r1 and r2 keep each other, r3 and r4 are another part.
    let cut = Outage(links: [2])
    #expect(lines(intent.routeSets(during: cut)["r1"]) == ["10.255.0.2/32 cost 1 via 10.2.0.2%eth1"])
    #expect(intent.warnings(during: cut) == ["AS 65000 is cut into 2 parts, iBGP runs within each: r1 r2 | r3 r4"])
    let sessions = intent.expectedSessions(during: cut).map { "\($0.node)-\($0.neighbor)" }.sorted()
    #expect(sessions == ["r1-r2", "r2-r1", "r3-r4", "r4-r3"])
    // Across the cut nothing carries iBGP: loopbacks are in no network that another AS could lead to.
    let broken = intent.brokenSessions(during: cut).map { "\($0.node)-\($0.neighbor)" }.sorted()
    #expect(broken == ["r1-r3", "r1-r4", "r2-r3", "r2-r4", "r3-r1", "r3-r2", "r4-r1", "r4-r2"])
  }

  @Test("a subnet the AS originates comes by iBGP, except to a router that originates it as well")
  func originatedSubnet() throws {
    let resolved = try lab(
      """
      name: stub
      topology:
        nodes:
          r1: {kind: router, asn: 65000, networks: [203.0.113.0/24], loopback: [10.255.0.1/32]}
          r2: {kind: router, asn: 65000, loopback: [10.255.0.2/32]}
          r3: {kind: router, asn: 65000, networks: [203.0.113.0/24], loopback: [10.255.0.3/32]}
          h1: {kind: host}
        links:
          - {endpoints: ["h1:eth1", "r1:eth9"], addresses: [[203.0.113.2/24], [203.0.113.1/24]]}
          - {endpoints: ["r1:eth1", "r2:eth1"], addresses: [[10.1.0.1/24], [10.1.0.2/24]]}
          - {endpoints: ["r2:eth2", "r3:eth1"], addresses: [[10.2.0.2/24], [10.2.0.3/24]]}
      """)
    let intent = LabIntent(resolved)
    let sets = intent.routeSets(during: .none)
    #expect(!lines(sets["r2"]).contains { $0.contains("203.0.113.0/24") })
    #expect(lines(sets["r3"]).filter { $0.contains("203.0.113.0/24") } == ["203.0.113.0/24 cost 3 via 10.2.0.2%eth1"])
    // Cut off from it, r3 guards the prefix again.
    let cut = intent.routeSets(during: Outage(links: [2]))
    #expect(lines(cut["r3"]).filter { $0.contains("203.0.113.0/24") } == ["unreachable 203.0.113.0/24"])
  }

  @Test("a static route stays as long as its link is up")
  func staticRoute() throws {
    let resolved = try lab(
      """
      name: static
      topology:
        nodes:
          r1: {kind: router, routes: [{to: 198.18.0.0/15, via: r2}]}
          r2: {kind: router}
        links:
          - {endpoints: ["r1:eth1", "r2:eth1"], addresses: [[10.1.0.1/24], [10.1.0.2/24]]}
      """)
    let intent = LabIntent(resolved)
    #expect(lines(intent.routeSets(during: .none)["r1"]) == ["198.18.0.0/15 static via 10.1.0.2%eth1"])
    #expect(lines(intent.routeSets(during: Outage(links: [0]))["r1"]) == [])
  }

  @Test("a long chain of one AS: every router reaches every loopback and every link")
  func chain() throws {
    var nodes = ""
    var links = ""
    for index in 1...100 {
      nodes += "    r\(index): {kind: router, asn: 65000, bgp: {route-reflector: \(index == 1)}}\n"
      if index > 1 { links += "    - {endpoints: [r\(index - 1), r\(index)]}\n" }
    }
    let resolved = try lab("name: big\ntopology:\n  nodes:\n\(nodes)  links:\n\(links)")
    let sets = LabIntent(resolved).routeSets(during: .none)
    // The other 99 loopbacks, and the 99 links less the own one, in both families.
    #expect(sets["r1"]?.routes.count == 2 * (99 + 98))
    #expect(sets["r100"]?.routes.map(\.igpCost).max() == 99)
  }
}
