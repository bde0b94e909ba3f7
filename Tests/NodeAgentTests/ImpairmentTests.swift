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
    #expect(counted.contains("iifname \"eth1\" numgen random mod 1000000 < 100000 counter packets"), "\(counted)")
    #expect(try bench.desire { _ in }.error.isEmpty)
    #expect(try pings(100, address, bench).answered == 100)
  }

  @Test func `where everything is lost, neighbors still find each other`() throws {
    let bench = try EdgeBench()
    #expect(try bench.desire { $0.impairments = [impairment("eth1", lossPPM: 1_000_000)] }.error.isEmpty)
    try bench.run("ip neigh flush dev eth1; ip -6 neigh flush dev eth1", in: bench.client)
    #expect(try pings(3, "10.7.0.1", bench).answered == 0)
    #expect(try pings(3, "fd07::1", bench).answered == 0)
    for family in ["-4", "-6"] {
      let entries = try bench.run("ip \(family) neigh show dev eth1", in: bench.client)
      #expect(entries.contains("lladdr") && !entries.contains("FAILED"), "\(entries)")
    }
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
