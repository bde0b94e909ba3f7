import NetTypes
import Netlink
import Testing

@testable import Nftables

/// What nft wrote is read, taken away and written again by this module: nft must not see a difference.
@Suite(.enabled(if: Kernel.isAllowed)) struct RoundTripTests {
  static let inet = #"""
    table inet t {
      set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.1.5-192.168.1.9, 192.168.1.10, 255.255.255.0/24 }
      }
      set nets6 { type ipv6_addr; flags interval; elements = { ::/8, fd00::/64, ff00::/8 }
      }
      set hosts { type ipv4_addr; size 500; elements = { 10.0.0.1 timeout 1h, 10.0.0.2 timeout 2h }
        timeout 10m
      }
      map vm { type inet_service : verdict; elements = { 80 : accept, 443 : jump x, 8000 : goto x }
      }
      map ranges { type ipv4_addr : verdict; flags interval; elements = { 10.0.0.0/24 : drop, 10.0.1.0/24 : accept, * : continue }
      }
      set dyn { type ipv4_addr; size 1000; flags dynamic,timeout; timeout 1m;
      }
      set counts { type ipv4_addr; size 1000; flags dynamic;
      }
      map conc { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 1.2.3.4 . 80 : 10.0.0.1 . 8080 }
      }
      set ci { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/24 . 80-90, 10.0.1.1 . 443 }
      }
      map cls { type dscp : classid; elements = { 46 : 1:10, 0 : 1:20 }
      }
      map marks { type mark : mark; elements = { 0x1 : 0x2 }
      }
      chain x { }
      chain f { type filter hook forward priority 0; policy drop;
        ip saddr @nets tcp dport { 22, 80-90 } ct state established,related counter accept comment "hello"
        ip6 saddr @nets6 drop
        ip saddr != { 10.0.0.1, 10.0.0.2 } drop
        ip saddr 10.1.0.0-10.1.0.9 ip dscp 46 meta priority set 1:10
        ip saddr != 10.1.0.0-10.1.0.9 drop
        ip saddr 10.1.0.0/13 drop
        ip dscp set 46
        ip6 dscp set 46
        ip ttl set 5
        ip6 hoplimit set 5
        tcp flags syn tcp option maxseg size set 1400
        tcp flags & syn == syn tcp option maxseg size set rt mtu
        meta mark set 0x5 ct mark set meta mark
        update @dyn { ip saddr timeout 10s limit rate over 10/second burst 3 packets } drop
        add @dyn { ip saddr counter } accept
        add @counts { ip saddr ct count over 3 } reject
        limit rate 100 kbytes/second burst 20 kbytes counter drop
        limit rate 5/minute accept
        ct count over 20 reject with tcp reset
        ct original ip saddr 1.2.3.4 reject with icmpx admin-prohibited
        ip saddr 1.2.3.4 reject with icmp host-unreachable
        tcp dport vmap @vm
        ip saddr vmap @ranges
        ip saddr . tcp dport @ci accept
        meta l4proto { tcp, udp } th sport 53 accept
        iifname "eth*" oifname != "eth1" jump x
        iifname { "a", "b" } return
        ct direction reply accept
        ip6 saddr fd00::/64 drop
        meta skuid 1000 drop
        numgen random mod 100 < 5 drop
        numgen inc mod 2 vmap { 0 : drop, 1 : goto x }
        jhash ip saddr mod 3 seed 0x5 vmap { 0 : drop, 1 : accept }
        log prefix "x " group 3
        quota over 10 mbytes drop
        quota 5 mbytes accept
        ip protocol icmp meta priority set ip dscp map @cls
        meta mark set meta mark map @marks
        meta mark & 0xff == 0x3 ct status dnat accept
        icmp type echo-request accept
        icmpv6 type echo-request accept
        tcp option maxseg exists accept
        ip saddr 1.2.3.4 tcp sport 5 ip daddr set 5.6.7.8
      }
      chain p { type nat hook prerouting priority -100;
        dnat ip prefix to ip daddr map { 10.2.0.0/24 : 10.3.0.0/24, 10.4.0.0/16 : 10.5.0.0/16 }
        dnat ip6 prefix to ip6 daddr map { fd02::/64 : fd03::/64 }
        meta l4proto tcp dnat ip to 10.0.0.5-10.0.0.9:80-90 random,persistent
        meta l4proto tcp dnat ip6 to [fd00::5]:80
        dnat ip to ip daddr . tcp dport map @conc
        tcp dport 80 redirect to :8080
        redirect
        dnat ip to numgen inc mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }
      }
      chain q { type nat hook postrouting priority 100; masquerade
        tcp dport 90 masquerade to :1024-2048 fully-random
        snat ip to 1.2.3.4
        snat ip6 to fd00::1-fd00::9 random
      }
      chain raw { type filter hook prerouting priority -300;
        notrack
        ct zone set 5
        ct original zone set 5
        fib saddr . iif oif missing drop
        fib daddr type local accept
        meta l4proto tcp tproxy ip to 127.0.0.1:90
        meta l4proto tcp tproxy to :90
      }
      chain o { type route hook output priority -150; }
    }
    """#
  static let others = #"""
    table ip only4 {
      chain c { type filter hook input priority 5; policy accept;
        ip saddr 10.0.0.0/8 tcp dport 22 accept
        dup to 10.0.0.1
      }
    }
    table ip6 only6 {
      chain c { type nat hook output priority 0;
        dnat to fd00::1
      }
    }
    table netdev nd {
      chain one { type filter hook ingress device "lo" priority 0;
        ip saddr 1.2.3.4 drop
        udp dport 5 fwd to "lo"
        dup to "lo"
      }
      chain two { type filter hook egress devices = { "lo", "v0" } priority 10;
        meta priority set 1:10
      }
    }
    table bridge br {
      chain c { type filter hook forward priority 0;
        ip saddr 1.2.3.4 drop
        ether saddr 02:00:00:00:00:01 accept
      }
    }
    table arp a {
      chain c { type filter hook input priority 0;
        counter
      }
    }
    """#

  /// Reads the tables, takes them away, writes them again.
  private func rewrite(_ bench: Bench) throws -> (before: String, after: String, content: Ruleset) {
    let before = try bench.listing()
    let standing = try bench.socket.read(bench.socket.tables())
    #expect(standing.foreign == [])
    var removal = Transaction(from: standing, to: Ruleset())
    try bench.socket.commit(&removal)
    #expect(try bench.listing() == "")
    try bench.apply(standing.content)
    return (before, try bench.listing(), standing.content)
  }

  private func others(in content: Ruleset) -> [String] {
    content.tables.flatMap(\.chains).flatMap(\.rules).flatMap(\.expressions).compactMap {
      if case .other(let other) = $0 { other.name } else { nil }
    }
  }

  @Test func `a table for IPv4 and IPv6 survives being read and written again`() throws {
    let bench = try Bench()
    try bench.load(Self.inet)
    let (before, after, content) = try rewrite(bench)
    #expect(before == after)
    #expect(others(in: content) == [])
    #expect(try bench.socket.read(bench.socket.tables()).content == content, "read back")
    #expect(before.split(separator: "\n").count > 100)
  }

  @Test func `tables of all other families survive being read and written again`() throws {
    let bench = try Bench()
    _ = try Kernel.output(of: "ip link add v0 type veth peer name v1", in: bench.namespace)
    let missing = try Kernel.output(of: "nft -c add table bridge x", in: bench.namespace)
    try bench.load(Self.others)
    let (before, after, content) = try rewrite(bench)
    #expect(before == after)
    #expect(others(in: content) == [])
    #expect(try bench.socket.read(bench.socket.tables()).content == content, "read back")
    #expect(missing == "")
  }

  @Test func `what is written again is the same to the difference: nothing is to be done`() throws {
    let bench = try Bench()
    try bench.load(Self.inet)
    let standing = try bench.socket.read(bench.socket.tables())
    let again = Transaction(from: standing, to: standing.content).subjects
    #expect(again == [])
    let (_, _, content) = try rewrite(bench)
    let after = Transaction(from: try bench.socket.read(bench.socket.tables()), to: content).subjects
    #expect(after == [])
  }
}
