import Foundation
import Testing

/// Each verdict of the test language, shown able to fail: the lab as it is, one thing broken on purpose, the verdicts that
/// must change and those that must not, and the lab as it was. Verdicts of single traces, by protocol, are in the suite of
/// the same name of the probe.
///
///   a ── isp1 ───── isp2 ── b        a and b are hosts, the customer is nobody's transit
///           └ customer ┘
@Suite(.serialized, .enabled(if: Command.isRoot, "enters namespaces")) struct MutationTests {
  private static let topology = """
    addressing: {ipv6: false}
    defaults: {bgp: {prefer-customer: true}}
    topology:
      nodes:
        a: {kind: host}
        b: {kind: host}
        customer: {kind: router, asn: 64500, networks: [203.0.113.0/24], loopback: [203.0.113.1/32]}
        isp1: {kind: router, asn: 64496, networks: [192.0.2.0/24]}
        isp2: {kind: router, asn: 64497, networks: [198.51.100.0/24]}
      links:
        - {endpoints: ["customer:eth1", "isp1:eth1"], relation: customer-provider, roles: false, addresses: [[10.0.1.1/30], [10.0.1.2/30]]}
        - {endpoints: ["customer:eth2", "isp2:eth1"], relation: customer-provider, roles: false, addresses: [[10.0.2.1/30], [10.0.2.2/30]]}
        - {endpoints: ["isp1:eth2", "isp2:eth2"], relation: peer-peer, roles: false, addresses: [[10.0.3.1/30], [10.0.3.2/30]]}
        - {endpoints: ["isp1:eth3", "a:eth1"], addresses: [[192.0.2.1/24], [192.0.2.2/24]]}
        - {endpoints: ["isp2:eth3", "b:eth1"], addresses: [[198.51.100.1/24], [198.51.100.2/24]]}

    """
  private static let words = [
    "no-loops", "valley-free", "no-transit", "reachability", "no-blackhole", "fib-equals-rib", "symmetric",
  ]
  private static let tests =
    """
    tests:
      - {name: reachable, steps: [{trace: {from: a, to: b, proto: tcp, port: 80}, expect: {reachable: true}}]}
      - {name: forward, steps: [{trace: {from: a, to: b}, expect: {forward: [a, isp1, isp2, b]}}]}
      - {name: return, steps: [{trace: {from: a, to: b}, expect: {return: [b, isp2, isp1, a]}}]}
      - {name: symmetric, steps: [{trace: {from: a, to: b}, expect: {symmetric: true}}]}
      - name: nat
        steps:
          - nat: {node: isp2, flow: {from: a, to: b, proto: udp, port: 9000}}
            expect: {translated: false, reachable: true}
      - name: rate
        steps:
          - rate: {from: a, to: b, proto: udp, offer: 5mbit, for: 500ms}
            expect: {mbit: {min: 4}, limited-by: none}
      - {name: no-transit, steps: [{no-transit: customer}]}

    """ + words.map { "  - {name: check \($0), check: \($0)}\n" }.joined()

  struct Mutation: CustomTestStringConvertible, Sendable {
    var name: String
    /// Node and command.
    var breaks: [(String, String)]
    var mends: [(String, String)]
    /// Names of the tests that must not hold; all others must.
    var fails: Set<String>
    var testDescription: String { name }
  }

  private static func table(_ chain: String, _ rule: String) -> String {
    "nft 'add table ip m; add chain ip m c { \(chain) }; add rule ip m c \(rule)'"
  }

  static let mutations = [
    Mutation(
      name: "packets dropped on one hop",
      breaks: [("isp2", table("type filter hook forward priority 0;", "ip saddr 192.0.2.2 counter drop"))],
      mends: [("isp2", "nft delete table ip m")],
      fails: [
        "reachable", "forward", "return", "symmetric", "nat", "rate", "check reachability",
      ]),
    Mutation(
      name: "ports rewritten on one hop",
      breaks: [
        ("isp2", table("type nat hook prerouting priority -100;", "ip saddr 192.0.2.2 udp dport 1-65535 dnat to :9"))
      ],
      mends: [("isp2", "nft delete table ip m")], fails: ["nat"]),
    Mutation(
      name: "a hop that holds packets back",
      breaks: [("isp1", "tc qdisc add dev eth2 root tbf rate 1mbit burst 2000 limit 100000")],
      mends: [("isp1", "tc qdisc del dev eth2 root")], fails: ["rate"]),
    Mutation(
      name: "a route that is drawn through the customer by hand",
      breaks: [("isp1", "ip route add 198.51.100.2/32 via 10.0.1.1")],
      mends: [("isp1", "ip route del 198.51.100.2/32")],
      fails: ["forward", "symmetric", "no-transit", "check no-transit", "check symmetric"]),
    Mutation(
      name: "two routes that lead to each other",
      breaks: [
        ("isp1", "ip route add 198.51.100.2/32 via 10.0.1.1"),
        ("customer", "ip route add 198.51.100.2/32 via 10.0.1.2"),
      ],
      mends: [("isp1", "ip route del 198.51.100.2/32"), ("customer", "ip route del 198.51.100.2/32")],
      fails: [
        "reachable", "forward", "return", "symmetric", "nat", "rate", "check no-loops", "check reachability",
      ]),
    Mutation(
      name: "a route into nothing",
      breaks: [
        ("isp1", "ip route add unreachable 198.51.100.0/25"),
        ("customer", "ip route add 198.51.100.0/25 via 10.0.1.2"),
      ],
      mends: [
        ("isp1", "ip route del unreachable 198.51.100.0/25"), ("customer", "ip route del 198.51.100.0/25"),
      ],
      fails: [
        "reachable", "forward", "return", "symmetric", "nat", "rate", "check reachability", "check no-blackhole",
      ]),
  ]

  private struct FileResult: Decodable {
    struct Test: Decodable {
      var name: String
      var verdict: String
      var message: String?
    }
    var tests: [Test]
  }

  private func run(_ bench: Bench, _ lab: String) throws -> [FileResult.Test] {
    let run = try bench.netloom(["test", "tests.yaml", "--lab", lab, "-o", "json"])
    let files = try JSONDecoder().decode([FileResult].self, from: Data(run.output.utf8))
    return try #require(files.first, "\(run.errors)").tests
  }

  private func expect(_ tests: [FileResult.Test], fail: Set<String>, _ when: String) {
    #expect(tests.count == 7 + Self.words.count, "\(when)")
    for test in tests {
      let wanted = fail.contains(test.name) ? "failed" : "passed"
      #expect(test.verdict == wanted, "\(when): \(test.name): \(test.message ?? "")")
    }
  }

  private func enter(_ lab: String, _ commands: [(String, String)]) throws {
    for (node, command) in commands {
      let run = try Command.shell("ip netns exec \(lab).\(node) \(command)")
      try #require(run.exit == 0, "\(node): \(command): \(run.errors)")
    }
  }

  @Test("what is broken fails its verdicts and no others")
  func broken() throws {
    let bench = try Bench()
    let lab = "mu-hand-\(getpid())"
    _ = try bench.up(lab, Self.topology)
    _ = try bench.file("tests.yaml", "name: \(lab)\n" + Self.topology + Self.tests)
    for mutation in Self.mutations {
      try enter(lab, mutation.breaks)
      expect(try run(bench, lab), fail: mutation.fails, mutation.name)
      try enter(lab, mutation.mends)
    }
    expect(try run(bench, lab), fail: [], "mended")
  }

  @Test("a customer that leaks is transit, in routes and packets, and the way through it is symmetric")
  func leaked() throws {
    let bench = try Bench()
    let lab = "mu-leak-\(getpid())"
    _ = try bench.up(lab, Self.topology)
    _ = try bench.file("tests.yaml", "name: \(lab)\n" + Self.topology + Self.tests)
    expect(try run(bench, lab), fail: [], "as it is")
    let leak = try bench.file(
      "leak.yaml",
      "topology: {nodes: {customer: {bgp: {neighbors: {isp1: {export: accept}, isp2: {export: accept}}}}}}\n")
    #expect(try bench.netloom(["apply", leak, "--lab", lab]).exit == 0)
    expect(
      try run(bench, lab),
      fail: ["forward", "return", "no-transit", "check no-transit", "check valley-free"], "leaked")
    #expect(try bench.netloom(["rollback", "--lab", lab]).exit == 0)
  }
}
