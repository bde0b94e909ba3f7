import ControlProtocol
import Foundation
import NetTypes
import Netlink
import SwiftProtobuf
import Testing

@testable import NodeAgent

/// What a link does to packets; ping and tc are the second opinion.
@Suite(.enabled(if: LabNode.isAllowed)) struct ImpairmentTests {
  private func impairment(_ interface: String, lossPPM: UInt32 = 0, rate: UInt64 = 0) -> NLImpairment {
    NLImpairment.with {
      ($0.interface, $0.lossPpm, $0.rate) = (interface, lossPPM, rate)
      $0.origin = origin("the link", "lab.yaml:7:5")
    }
  }

  /// Of this many echo requests, how many were answered, and what ping said of errors.
  private func pings(_ count: Int, _ address: String, _ bench: EdgeBench) throws -> (answered: Int, said: String) {
    // A packet is late after 1 s: the last one's answer is waited for as long.
    let said = try bench.run("ping -q -f -W 1 -c \(count) \(address) | tail -3", in: bench.client)
    let words = said.split(separator: " ")
    let at = try #require(words.firstIndex(of: "received,"), "\(said)")
    return (try #require(Int(words[at - 1])), said)
  }

  @Test(arguments: ["10.8.0.2", "fd08::2", "10.7.0.1"])
  func `a tenth of what arrives is lost, forwarded or not, and the sender is not told`(address: String) throws {
    let bench = try EdgeBench()
    #expect(try bench.desire { $0.impairments = [impairment("eth1", lossPPM: 100_000)] }.error.isEmpty)
    let (answered, said) = try pings(1000, address, bench)
    // Binomial, n 1000, p 0.9: mean 900, deviation 9.5. Six deviations: wrong once in 500 million runs.
    #expect((843...957).contains(answered), "\(said)")
    #expect(!said.contains("error"))
    let counted = try bench.run("nft list chain inet netloom loss", in: bench.node.namespace)
    #expect(counted.contains(/iifname "eth1" counter packets \d+ bytes \d+ numgen random mod 1000000 < 100000 counter/))
    // What the agent says was lost is what ping misses; the client may have sent something else beside it.
    let links = try bench.query(.links).links
    let loss = try #require(links.first { $0.interface == "eth1" }?.loss)
    let missing = UInt64(1000 - answered)
    #expect(loss.offered >= 1000 && loss.lost >= missing && loss.lost - missing <= loss.offered - 1000, "\(loss)")
    #expect(!links.contains { $0.interface != "eth1" && $0.hasLoss })
    #expect(try bench.desire { _ in }.error.isEmpty)
    #expect(try pings(100, address, bench).answered == 100)
  }

  @Test func `where everything is lost, neighbors still find each other`() throws {
    let bench = try EdgeBench()
    #expect(try bench.desire { $0.impairments = [impairment("eth1", lossPPM: 1_000_000)] }.error.isEmpty)
    try bench.run("ip neigh flush dev eth1; ip -6 neigh flush dev eth1", in: bench.client)
    #expect(try pings(3, "10.7.0.1", bench).answered == 0)
    #expect(try pings(3, "fd07::1", bench).answered == 0)
    let loss = try #require(try bench.query(.links).links.first { $0.interface == "eth1" }?.loss)
    #expect(loss.offered >= 6 && loss.lost == loss.offered)
    for family in ["-4", "-6"] {
      let entries = try bench.run("ip \(family) neigh show dev eth1", in: bench.client)
      #expect(entries.contains("lladdr") && !entries.contains("FAILED"), "\(entries)")
    }
  }

  @Test func `what finds the queue of a rate full is counted, as tc counts it`() throws {
    let bench = try EdgeBench()
    #expect(try bench.desire { $0.impairments = [impairment("eth1", rate: 1_000_000)] }.error.isEmpty)
    // 300 of 1000 bytes at once, forwarded towards the client: more than the queue of 1 Mbit/s holds.
    try bench.run("ping -q -f -l 300 -c 300 -s 1000 -W 1 10.7.0.2 || true", in: bench.server)
    let dropped = try #require(try bench.query(.links).links.first { $0.interface == "eth1" }?.rateDropped)
    let shown = try bench.run("tc -s qdisc show dev eth1 root", in: bench.node.namespace)
    #expect(dropped > 0 && shown.contains("dropped \(dropped),"), "\(dropped): \(shown)")
  }

  @Test func `a rate is a TBF of that rate, goes with the wish, and is no drift`() throws {
    let bench = try EdgeBench()
    let before = try bench.run("tc qdisc show dev eth2", in: bench.node.namespace)
    #expect(try bench.desire { $0.impairments = [impairment("eth2", lossPPM: 10_000, rate: 5_000_000)] }.error.isEmpty)
    let shaped = try bench.run("tc qdisc show dev eth2", in: bench.node.namespace)
    #expect(shaped.hasPrefix("qdisc tbf 1: root") && shaped.contains("rate 5Mbit"), "\(shaped)")
    #expect(try bench.query(.drift).drift.items.isEmpty)
    try bench.run("nft flush chain inet netloom loss; tc qdisc del dev eth2 root", in: bench.node.namespace)
    let drift = try bench.query(.drift).drift.items.map { "\($0.kind) \($0.type)" }
    #expect(Set(drift) == ["missing nft", "missing tc"], "\(drift)")
    #expect(try bench.desire { _ in }.error.isEmpty)
    #expect(try bench.run("tc qdisc show dev eth2", in: bench.node.namespace) == before)
  }

  @Test func `two rates on one interface, and an interface that is not there, are refused with their place`() throws {
    let bench = try EdgeBench()
    let twice = try bench.prepare { desired in
      desired.shapers = [NLShaper.with { ($0.origin, $0.interface, $0.rate) = (origin("shape"), "eth2", 8_000_000) }]
      desired.impairments = [impairment("eth2", rate: 1_000_000)]
    }
    #expect(twice.error.contains("eth2 is shaped already") && twice.place == "lab.yaml:7:5", "\(twice)")
    let nowhere = try bench.prepare { $0.impairments = [impairment("eth9", lossPPM: 1)] }
    #expect(nowhere.error.contains("no interface eth9") && nowhere.offender == "the link")
    #expect(try bench.query(.drift).drift.items.isEmpty)
  }
}
