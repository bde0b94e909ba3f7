import ContainerlabImport
import NetTypes
import Testing
import Topology

private let three = "{a: {kind: linux}, b: {kind: linux}, c: {kind: linux}}"

@Test func briefAndExtendedLinksAreTheSame() throws {
  let brief = try imported(
    """
    name: t
    topology:
      nodes: \(three)
      links:
        - {endpoints: ["a:eth1", "b:eth1"], mtu: 9000, ipv4: [192.0.2.1/24, 192.0.2.2/24], ipv6: ["2001:db8::1/64", "2001:db8::2/64"]}
    """)
  let extended = try imported(
    """
    name: t
    topology:
      nodes: \(three)
      links:
        - type: veth
          mtu: 9000
          endpoints:
            - {node: a, interface: eth1, ipv4: 192.0.2.1/24, ipv6: "2001:db8::1/64"}
            - {node: b, interface: eth1, ipv4: 192.0.2.2/24, ipv6: "2001:db8::2/64"}
    """)
  #expect(brief.text == extended.text)
  #expect(brief.addresses == ["a:eth1 192.0.2.1/24 2001:db8::1/64", "b:eth1 192.0.2.2/24 2001:db8::2/64"])
  #expect(brief.lab.links[0].mtu == 9000)
}

@Test func linksThatLeaveTheLabAreLeftOut() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes: \(three)
      links:
        - endpoints: ["a:eth1", "host:a-eth1"]
        - endpoints: ["a:eth2", "mgmt-net:x"]
        - endpoints: ["a:eth3", "macvlan:ens3"]
        - {type: host, host-interface: h0, endpoint: {node: b, interface: eth1}}
        - {type: vxlan, remote: 192.0.2.1, vni: 5, endpoint: {node: b, interface: eth2, mac: "02:00:00:00:00:01"}}
        - endpoints: ["a:eth4", "a:eth5"]
        - endpoints: ["a:eth6", "b:interface-is-too-long"]
    """)
  #expect(result.lab.links.isEmpty)
  // The MAC address beside its link.
  #expect(result.lost.map { Int($0.prefix { $0 != ":" }) } == [5, 6, 7, 8, 9, 9, 10, 11], "\(result.lost)")
}

@Test func aDummyIsMadeByItsNode() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes: {a: {kind: linux, exec: [ip addr add 192.0.2.1/24 dev eth5]}}
      links:
        - endpoints: ["a:eth5", dummy]
        - {type: dummy, endpoint: {node: a, interface: eth6}}
    """)
  #expect(
    result.exec("a") == [
      "ip link add eth5 type dummy && ip link set eth5 up", "ip link add eth6 type dummy && ip link set eth6 up",
      "ip addr add 192.0.2.1/24 dev eth5",
    ])
}

@Test func bridgesBecomeSwitchesAndTheirStationsShareOneSubnet() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes:
        br1: {kind: bridge}
        br2: {kind: ovs-bridge}
        a: {kind: linux, exec: [ip a add 192.0.2.1/24 dev eth1]}
        b: {kind: linux, exec: [ip a add 192.0.2.2/24 dev eth1]}
        c: {kind: linux, exec: [ip a add 198.51.100.1/24 dev eth1]}
        d: {kind: linux}
      links:
        - endpoints: ["br1:t", "br2:t"]
        - endpoints: ["a:eth1", "br1:p1"]
        - endpoints: ["b:eth1", "br2:p1"]
        - endpoints: ["c:eth1", "br2:p2"]
        - endpoints: ["d:eth1", "br2:p3"]
        - endpoints: ["d:eth2", "br1:p4"]
    """)
  #expect(result.lab.segments.count == 1)
  #expect(result.lab.segments[0].subnets.map { "\($0)" } == ["192.0.2.0/24"])
  // c stands in another subnet: its own stays a command; d had none.
  #expect(
    result.addresses == ["a:eth1 192.0.2.1/24", "b:eth1 192.0.2.2/24", "c:eth1 192.0.2.3/24", "d:eth1 192.0.2.4/24"])
  #expect(result.exec("c") == ["ip address add 198.51.100.1/24 dev eth1"])
  #expect(result.lost == ["16:7: link of `d:eth2`: `d` is on that Ethernet already"])
}

@Test func anAddressThatALinkCannotWriteStaysACommand() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes:
        a:
          kind: linux
          exec:
            - ip addr add 192.0.2.1/24 dev eth1
            - ip addr add 192.0.2.129/25 dev eth2
            - ip addr add 203.0.113.1/32 dev eth3
            - ip addr add 198.51.100.0/24 dev eth3
            - ip addr add fe80::1/64 dev eth3
        b:
          kind: linux
          exec: [ip addr add 192.0.2.2/24 dev eth1, ip addr add 192.0.2.130/25 dev eth2]
      links:
        - endpoints: ["a:eth1", "b:eth1"]
        - endpoints: ["a:eth2", "b:eth2"]
        - endpoints: ["a:eth3", "b:eth3"]
    """)
  #expect(result.addresses[0..<2] == ["a:eth1 192.0.2.1/24", "b:eth1 192.0.2.2/24"])
  // Overlaps with eth1, is alone in its subnet, is the network itself, is link-local.
  #expect(
    result.exec("a") == [
      "ip address add 198.51.100.0/24 dev eth3", "ip address add fe80::1/64 dev eth3",
      "ip address add 192.0.2.129/25 dev eth2", "ip address add 203.0.113.1/32 dev eth3",
    ])
  #expect(result.exec("b") == ["ip address add 192.0.2.130/25 dev eth2"])
  #expect(result.changes.filter { $0.contains("stays a command") }.count == 5)
  // And netloom gives those links addresses that keep clear of the usual private ones.
  #expect(result.addresses[2...].allSatisfy { $0.contains(" 100.64.0.") })
}

@Test func anEndWithoutAnAddressGetsTheNextOfTheOtherEndsSubnet() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes: {a: {kind: linux, exec: [ip a add 192.0.2.1/30 dev eth1]}, b: {kind: linux}}
      links: [{endpoints: ["a:eth1", "b:eth1"]}]
    """)
  #expect(result.addresses == ["a:eth1 192.0.2.1/30", "b:eth1 192.0.2.2/30"])
}

@Test func aLinkOfADaemonThatNamesNoAddressesIsGivenSome() throws {
  let frr = "router bgp 65001\n neighbor eth1 interface remote-as external\n"
  let result = try imported(
    """
    name: t
    topology:
      kinds: {linux: {image: frrouting/frr, binds: ["frr.conf:/etc/frr/frr.conf"]}}
      nodes: {a: {kind: linux}, b: {kind: linux}, br: {kind: bridge}}
      links: [{endpoints: ["a:eth1", "b:eth1"]}, {endpoints: ["a:eth2", "br:p1"]}, {endpoints: ["b:eth2", "br:p2"]}]
    """, files: ["frr.conf": frr])
  #expect(
    result.addresses == [
      "a:eth1 100.64.0.0/31", "b:eth1 100.64.0.1/31", "a:eth2 100.64.128.1/24", "b:eth2 100.64.128.2/24",
    ])
}

@Test func aDaemonsOwnFileSaysItsAddressesAndItsLoopback() throws {
  let result = try imported(
    """
    name: t
    topology:
      nodes:
        a: {kind: linux, binds: ["a.conf:/etc/frr/frr.conf"]}
        b: {kind: linux, binds: ["b.conf:/etc/frr/frr.conf"]}
      links: [{endpoints: ["a:eth1", "b:eth1"]}]
    """,
    files: [
      "a.conf": "interface eth1\n ip address 192.0.2.0/31\n ipv6 address 2001:db8::/127\nexit\ninterface lo\n"
        + " ip address 10.0.0.1/32\n ipv6 address 2001:db8:ffff::1/128\n!\nip route 0.0.0.0/0 192.0.2.1\n",
      "b.conf": "!interface eth1\n! ip address 203.0.113.9/24\ninterface eth1 vrf default\nip address 192.0.2.1/31\n"
        + "ipv6 address 2001:db8::1/127\nrouter bgp 65002\n ! ip address 203.0.113.9/24\n",
    ])
  #expect(result.addresses == ["a:eth1 192.0.2.0/31 2001:db8::/127", "b:eth1 192.0.2.1/31 2001:db8::1/127"])
  #expect(result.lab.node("a")?.loopbacks.map { "\($0)" } == ["10.0.0.1/32", "2001:db8:ffff::1/128"])
}

@Test func aLoopbackThatTwoNodesHaveIsWrittenOnce() throws {
  let result = try imported(
    """
    name: t
    topology:
      defaults: {kind: linux, exec: [ip addr add 192.0.2.53/32 dev lo]}
      nodes: {a: {}, b: {}}
    """)
  #expect(result.lab.nodes.map { $0.loopbacks.count } == [1, 0])
  #expect(result.exec("b") == ["ip address add 192.0.2.53/32 dev lo"])
}
