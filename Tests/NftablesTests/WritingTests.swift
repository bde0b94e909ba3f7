import NetTypes
import Netlink
import Testing

@testable import Nftables

/// What the constructors make, in nft's own words.
@Suite(.enabled(if: Kernel.isAllowed)) struct WritingTests {
  private let table = TableID(.inet, "t")

  /// Rules of one chain as nft shows them; each must also be read back equal to what was written.
  private func shown(
    _ rules: [Rule], _ base: BaseChain? = BaseChain(.filter, .forward, .filter), sets: [NamedSet] = [],
    in family: TableFamily = .inet
  ) throws -> [String] {
    let bench = try Bench()
    let id = TableID(family, "t")
    let desired = Ruleset([
      Table(id, sets: sets, chains: [Chain("c", base, rules: rules), Chain("x")])
    ])
    try bench.apply(desired)
    #expect(try bench.read(id).content == desired)
    return try bench.rules(of: "\(family) t c")
  }

  /// Says which line differs.
  private func expect(
    _ shown: [String], _ wanted: [String], sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(shown.count == wanted.count, sourceLocation: sourceLocation)
    for (line, want) in zip(shown, wanted) { #expect(line == want, sourceLocation: sourceLocation) }
  }

  @Test func `conditions on interfaces and addresses read as nft writes them`() throws {
    let (eth0, eth1) = (try name("eth0"), try name("eth1"))
    let range = try ip("10.1.0.1")...ip("10.1.0.9")
    try expect(
      shown([
        Rule([.interfaceIn(eth0), !.interfaceOut(eth1)], [.counter, .accept], comment: "from the LAN"),
        Rule([.interfaceIn(anyOf: [eth0, eth1])], [.return]),
        Rule([.source(net("10.0.0.0/8")), .destination(net("10.8.0.0/13"))], [.drop]),
        Rule([.source(net("fd00::/64")), .destination(ip("fd01::1"))], [.drop]),
        Rule([.source(range), !.destination(range)], [.drop]),
        Rule([.source(anyOf: [net("10.0.0.0/8"), net("192.168.0.0/16")])], [.drop]),
        Rule([!.destination(anyOf: [net("10.0.0.1/32"), net("10.0.0.2/32")])], [.drop]),
        Rule([.source(net("0.0.0.0/0"))], [.accept]),
        Rule([.dscp(46, .ipv4), .timeToLive(1, .ipv4)], [.drop]),
        Rule([.dscp(46, .ipv6)], [.drop]),
      ]),
      [
        #"iifname "eth0" oifname != "eth1" counter accept comment "from the LAN""#,
        #"iifname { "eth0", "eth1" } return"#,
        "ip saddr 10.0.0.0/8 ip daddr 10.8.0.0/13 drop",
        "ip6 saddr fd00::/64 ip6 daddr fd01::1 drop",
        "ip saddr 10.1.0.1-10.1.0.9 ip daddr != 10.1.0.1-10.1.0.9 drop",
        "ip saddr { 10.0.0.0/8, 192.168.0.0/16 } drop",
        "ip daddr != { 10.0.0.1, 10.0.0.2 } drop",
        "meta nfproto ipv4 accept",
        "ip dscp ef ip ttl 1 drop",
        "ip6 dscp ef drop",
      ])
  }

  @Test func `conditions on transport and connection read as nft writes them`() throws {
    try expect(
      shown([
        Rule([.transportProtocol(.tcp), .destinationPort(22)], [.accept]),
        Rule([.transportProtocol(.udp), .sourcePort(1000...2000)], [.accept]),
        Rule([.transportProtocol(.tcp), .destinationPort(anyOf: [22...22, 80...90])], [.accept]),
        Rule([.destinationPort(53)], [.accept]),
        Rule([.connectionState([.established, .related])], [.accept]),
        Rule([.tcpFlags(.syn, of: [.syn, .reset])], [.setSegmentSize(nil)]),
        Rule([.tcpFlags(.syn, of: [.syn, .reset])], [.setSegmentSize(1400)]),
        Rule([.icmpType(8)], [.reject(code: 1, .ipv4)]),
        Rule([.icmpv6Type(128)], [.reject()]),
        Rule([.connectionDirection(.reply), .connectionStatus(.destinationTranslated)], [.accept]),
        Rule(
          [.transportProtocol(.tcp), .originalDestination(ip("10.0.0.1")), .originalDestinationPort(80)], [.accept]),
        Rule([.mark(3, mask: 0xFF), .connectionMark(5)], [.saveMark]),
        Rule([.connections(over: 20)], [.rejectByReset]),
        Rule([.limit(Expression.Limit(10, per: .minute, burst: 5))], [.log(prefix: "seen ", group: 2)]),
        Rule([!.limit(Expression.Limit(125_000, .bytes, burst: 10_000))], [.drop]),
        Rule([.random(5, of: 100)], [.drop]),
        Rule([.socketUser(1000)], [.accept]),
      ]),
      [
        "tcp dport 22 accept", "udp sport 1000-2000 accept", "tcp dport { 22, 80-90 } accept",
        "meta l4proto { tcp, udp } th dport 53 accept", "ct state established,related accept",
        "tcp flags syn / syn,rst tcp option maxseg size set rt mtu",
        "tcp flags syn / syn,rst tcp option maxseg size set 1400",
        "icmp type echo-request reject with icmp host-unreachable", "icmpv6 type echo-request reject",
        "ct direction reply ct status dnat accept",
        "meta l4proto tcp ct original ip daddr 10.0.0.1 ct original proto-dst 80 accept",
        "meta mark & 0x000000ff == 0x00000003 ct mark 0x00000005 ct mark set meta mark",
        "meta l4proto tcp ct count over 20 reject with tcp reset", #"limit rate 10/minute log prefix "seen " group 2"#,
        "limit rate over 125000 bytes/second burst 10000 bytes drop", "numgen random mod 100 < 5 drop",
        "meta skuid 1000 accept",
      ])
  }

  @Test func `actions on marks, fields and dynamic sets read as nft writes them`() throws {
    let limit = Expression.limit(Expression.Limit(10, burst: 5, isOver: true))
    let shape = SetShape([.ipv4Address], isDynamic: true, timeout: 60_000, size: 1000)
    try expect(
      shown(
        [
          Rule([], [.setMark(7), .setConnectionMark(8), .restoreMark]),
          Rule([], [.setPriority(0x1_0010)]),
          Rule([], [.setDSCP(46, .ipv4), .setTimeToLive(5, .ipv4)]),
          Rule([], [.setDSCP(46, .ipv6), .setTimeToLive(5, .ipv6)]),
          Rule([], [.update("meter", withSourceOf: .ipv4, timeout: 10_000, [limit]), .drop]),
          Rule([.connectionState(.new)], [.jump("x")]),
          Rule([], [.goto("x")]),
        ], sets: [NamedSet("meter", shape)]),
      [
        "meta mark set 0x00000007 ct mark set 0x00000008 meta mark set ct mark",
        "meta priority set 1:10", "ip dscp set ef ip ttl set 5", "ip6 dscp set ef ip6 hoplimit set 5",
        "update @meter { ip saddr timeout 10s limit rate over 10/second } drop", "ct state new jump x", "goto x",
      ])
  }

  @Test func `NAT reads as nft writes it`() throws {
    let prerouting = BaseChain(.nat, .prerouting, .destinationNAT)
    try expect(
      shown(
        [
          Rule([.transportProtocol(.tcp), .destinationPort(80)], [.destinationNAT(to: ip("10.0.0.5"), port: 8080)]),
          Rule([.transportProtocol(.tcp)], [.destinationNAT(to: ip("10.0.0.5")...ip("10.0.0.9"), ports: 80...90)]),
          Rule([.transportProtocol(.tcp)], [.destinationNAT(to: ip("fd00::5"), port: 80, .random)]),
          Rule([], [.destinationNAT(to: ip("fd00::5"))]),
          Rule([], [.prefixNAT(.destination, [(net("10.2.0.0/24"), net("10.3.0.0/24"))])]),
          Rule([], [.prefixNAT(.destination, [(net("fd02::/64"), net("fd03::/64"))])]),
          Rule([.transportProtocol(.tcp)], [.redirect(toPorts: 8080...8080)]),
          Rule([], [.spread(over: [ip("10.0.0.1"), ip("10.0.0.2")], .incremental)]),
        ], prerouting),
      [
        "tcp dport 80 dnat ip to 10.0.0.5:8080", "meta l4proto tcp dnat ip to 10.0.0.5-10.0.0.9:80-90",
        "meta l4proto tcp dnat ip6 to [fd00::5]:80 random", "dnat ip6 to fd00::5",
        "dnat ip prefix to ip daddr map { 10.2.0.0/24 : 10.3.0.0/24 }",
        "dnat ip6 prefix to ip6 daddr map { fd02::/64 : fd03::/64 }", "meta l4proto tcp redirect to :8080",
        "meta nfproto ipv4 dnat ip to numgen inc mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
      ])
    let postrouting = BaseChain(.nat, .postrouting, .sourceNAT)
    try expect(
      shown(
        [
          Rule([.interfaceOut(name("wan"))], [.masquerade()]),
          Rule([.transportProtocol(.udp)], [.masquerade(ports: 1024...2048, [.fullyRandom, .persistent])]),
          Rule([.source(net("10.0.0.0/8"))], [.sourceNAT(to: ip("192.0.2.1"), .persistent)]),
          Rule([], [.prefixNAT(.source, [(net("10.2.0.0/24"), net("10.3.0.0/24"))])]),
        ], postrouting),
      [
        #"oifname "wan" masquerade"#, "meta l4proto udp masquerade to :1024-2048 fully-random,persistent",
        "ip saddr 10.0.0.0/8 snat ip to 192.0.2.1 persistent",
        "snat ip prefix to ip saddr map { 10.2.0.0/24 : 10.3.0.0/24 }",
      ])
  }

  @Test func `what must come before conntrack, and what is asked of the routing table, reads as nft writes it`() throws
  {
    try expect(
      shown(
        [
          Rule([.reversePathMissing], [.drop]), Rule([.source(net("10.0.0.0/8"))], [.noTrack]),
          Rule([.interfaceIn(name("a"))], [.setZone(5)]), Rule([.interfaceIn(name("b"))], [.setZone(6, .original)]),
          Rule([.transportProtocol(.tcp)], [.transparentProxy(to: 90)]),
        ], BaseChain(.filter, .prerouting, .raw)),
      [
        "fib saddr . iif oif missing drop", "ip saddr 10.0.0.0/8 notrack", #"iifname "a" ct zone set 5"#,
        #"iifname "b" ct original zone set 6"#, "meta l4proto tcp tproxy to :90",
      ])
  }

  @Test func `a table of one family asks no packet for its family, and one of whole frames asks by EtherType`() throws {
    let v4 = Rule(in: .ipv4, [.source(try net("10.0.0.0/8"))], [.drop])
    #expect(v4.expressions.count == 3)
    #expect(try shown([v4], in: .ipv4) == ["ip saddr 10.0.0.0/8 drop"])
    let device = BaseChain(.filter, .ingress, .filter, devices: [try name("lo")])
    let frame = Rule(in: .netdev, [.source(try net("10.0.0.0/8")), .source(try net("10.0.0.0/16"))], [.forward(to: 1)])
    #expect(try shown([frame], device, in: .netdev) == [#"ip saddr 10.0.0.0/8 ip saddr 10.0.0.0/16 fwd to "lo""#])
  }

  @Test func `a long comment is cut where nft's limit is, between characters`() throws {
    let long = String(repeating: "ä", count: 80)
    let shown = try shown([Rule([], [.accept], comment: long)])
    #expect(shown == ["accept comment \"" + String(repeating: "ä", count: 63) + "\""])
  }
}
