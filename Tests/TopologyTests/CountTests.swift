import Foundation
import NetTypes
import Testing

@testable import Topology

/// h ── a ── b ── c, with what is written for `a`.
private func line(_ functions: String) -> String {
  """
  name: t
  topology:
    nodes:
      a: {kind: router, asn: 64500, \(functions)}
      b: {kind: router, asn: 64500}
      c: {kind: router, asn: 64500}
      h: {kind: host}
    links:
      - {endpoints: ["a:eth1", "b:eth1"]}
      - {endpoints: ["b:eth2", "c:eth1"]}
      - {endpoints: ["a:eth2", "h:eth1"]}
  """
}

private func prefixes(_ first: Int, _ count: Int) -> String {
  (0..<count).map { "\(first).\($0 / 256).\($0 % 256).0/24" }.joined(separator: ", ")
}

private func path(_ match: String, via: String = "b, c") -> String {
  line("path: [{match: {\(match)}, via: [\(via)]}]")
}

@Suite struct CountTests {
  @Test func aPathWhoseListsMultiplyBeyondWhatANodeHoldsIsRefusedAtItsPlace() throws {
    // 5,000 x 5,000 x (1 + the way back): nothing of the kind is made on the way to the answer.
    let parsed = parse(path("from: [\(prefixes(10, 5000))], to: [\(prefixes(11, 5000))]"))
    #expect(parsed.errors.count == 2, "\(shown(parsed.errors))")
    #expect(parsed.errors.allSatisfy { $0.place.line == 4 && $0.place.column == 42 })
    #expect(parsed.errors.contains { $0.message.contains("50000000 rules of routing") && $0.message.contains("`a`") })
    #expect(parsed.errors.contains { $0.message.contains("`b`") })
  }

  @Test func aProductBeyondEveryNumberIsCountedAsTheLargest() throws {
    var match = PacketMatch()
    match.from = try (0..<30_000).map { try #require(IPPrefix("10.\($0 / 256).\($0 % 256).0/24")) }
    match.to = match.from
    match.ports = (1...30_000).map { $0 * 2...$0 * 2 }
    match.sourcePorts = match.ports
    match.dscp = Array(0..<64)
    let gateway = try #require(IPAddress("192.0.2.1"))
    let hop = PathRule.Hop(
      node: "b", links: [.init(interface: "eth1", farInterface: "eth1", gateways: [gateway], weight: 1)])
    // 30,000 to the power of 4, for two protocols and the way back, is more than 2 to the power of 63.
    #expect(PathCounts.rules(of: match, arrivals: nil, hop) == .max)
    match.dscp = [0]
    match.transport = .tcp
    match.ports = [80...80]
    #expect(PathCounts.rules(of: match, arrivals: ["eth2"], hop) == 27_000_000_000_000)
  }

  @Test func whatFitsIsTaken() {
    func errors(_ match: String, to count: Int, via: String = "b") -> Int {
      parse(path("from: [\(prefixes(10, 100))], to: [\(prefixes(11, count))]\(match)", via: via)).errors.count
    }
    // 100 x 100 prefixes, twice on `a` for what comes back; on `b` it is for what comes from `a` only.
    #expect(errors("", to: 100, via: "b, c") == 0)
    #expect(errors("", to: 101, via: "b, c") == 1)
    // tcp and udp, where only ports are written; all of them are one rule.
    #expect(errors(", port: 53", to: 50) == 0)
    #expect(errors(", port: 53", to: 51) == 1)
    #expect(errors(", port: [1-65535, 53]", to: 50) == 0)
    // Packets of another interface cannot come from the next hop; those of two can by one of them.
    #expect(errors(", in: eth2", to: 200) == 0)
    #expect(errors(", in: [eth1, eth2]", to: 66) == 0)
    #expect(errors(", in: [eth1, eth2]", to: 67) == 1)
    // All of IPv4 is one rule.
    let everything = path("from: [\(prefixes(10, 100))], to: [0.0.0.0/0, \(prefixes(11, 200))]")
    #expect(parse(everything).errors.isEmpty)
  }

  @Test func pathsBeyondTheTablesOfANodeAreRefused() {
    let rules = (0..<2501).map { "{match: {to: 10.\($0 / 256).\($0 % 256).0/24}, via: [b]}" }
    #expect(parse(line("path: [\(rules.dropLast().joined(separator: ", "))]")).errors.isEmpty)
    let parsed = parse(line("path: [\(rules.joined(separator: ", "))]"))
    #expect(parsed.errors.map(\.message).first?.contains("2501 tables") == true, "\(shown(parsed.errors))")
  }

  @Test(arguments: [
    ("flowspec: [", "{match: {proto: udp, port: PORT}, then: drop}", 10_001, "]", "`flowspec` has 20002 rules"),
    (
      "qos: {eth1: {egress: {mark: [", "{match: {proto: udp, port: PORT}, dscp: ef}", 20_001, "]}}}",
      "`qos` has 20001 rules of `mark`"
    ),
  ])
  func everyListOfANodeIsCounted(_ key: String, _ rule: String, _ count: Int, _ end: String, _ words: String) {
    func text(_ count: Int) -> String {
      key + (1...count).map { rule.replacingOccurrences(of: "PORT", with: "\($0)") }.joined(separator: ", ") + end
    }
    let parsed = parse(line(text(count)))
    #expect(parsed.errors.count == 1, "\(shown(parsed.errors))")
    #expect(parsed.errors.first?.message.contains(words) == true, "\(shown(parsed.errors))")
    #expect(parse(line(text(count - 1))).errors.isEmpty)
  }
}
