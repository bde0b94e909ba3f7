import ContainerlabImport
import Foundation
import Testing
import Topology

/// SplitMix64, so that a failing round can be run again by its seed.
private struct Seeded: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Containerlab files that are right by its rules, with addresses that collide, overlap and miss each other.
private struct RandomLab {
  var random: Seeded

  private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

  private mutating func pick(_ items: [String]) -> String { items.randomElement(using: &random) ?? "" }

  mutating func text() -> String {
    let count = Int.random(in: 1...7, using: &random)
    let names = (0..<count).map { index in chance(15) ? "Node_\(index % 3).\(index)" : "n\(index)" }
    var free = names.map { _ in 0 }
    var links: [String] = []
    var commands: [[String]] = names.map { _ in [] }
    for _ in 0..<Int.random(in: 0...9, using: &random) {
      let ends = [0, 1].map { _ in Int.random(in: 0..<count, using: &random) }
      links.append(
        "    - endpoints: [" + ends.map { end(of: $0, names, &free, &commands) }.joined(separator: ", ") + "]")
    }
    var lines = ["name: fuzz", "topology:", "  nodes:"]
    for (index, name) in names.enumerated() { lines += node(name, commands[index]) }
    if !links.isEmpty { lines.append("  links:") }
    return (lines + links).joined(separator: "\n") + "\n"
  }

  private mutating func end(
    of node: Int, _ names: [String], _ free: inout [Int], _ commands: inout [[String]]
  ) -> String {
    free[node] += 1
    let interface = "eth\(free[node])"
    for _ in 0..<Int.random(in: 0...2, using: &random) {
      commands[node].append("ip addr add \(address()) dev \(pick([interface, interface, interface, "lo", "eth0"]))")
    }
    if chance(30) { commands[node].append("ip route add \(pick(["default", "10.9.0.0/16"])) via \(gateway())") }
    return "\"\(names[node]):\(interface)\""
  }

  private mutating func address() -> String {
    let last = Int.random(in: 0...9, using: &random)
    if chance(20) { return "2001:db8:\(last % 3)::\(last)/\(pick(["64", "127", "128", "48"]))" }
    return "10.0.\(last % 3).\(last)/\(pick(["24", "24", "24", "30", "31", "32", "16", "8"]))"
  }

  private mutating func gateway() -> String { "10.0.\(Int.random(in: 0...2, using: &random)).1" }

  private mutating func node(_ name: String, _ commands: [String]) -> [String] {
    var lines = ["    \(name):", "      kind: \(pick(["linux", "linux", "linux", "linux", "bridge", "ceos"]))"]
    if chance(40) {
      lines.append("      image: frrouting/frr")
      if chance(80) { lines.append("      binds: [\"\(pick(["a.conf", "b.conf"])):/etc/frr/frr.conf\"]") }
    }
    if chance(30) { lines.append("      ports: [\"\(pick(["80:80", "81:80", "80"]))\"]") }
    if chance(20) { lines.append("      sysctls: {net.ipv4.ip_forward: \(pick(["0", "1"]))}") }
    if !commands.isEmpty { lines.append("      exec:") }
    return lines + commands.map { "        - \($0)" }
  }
}

private let configurations = [
  "a.conf": "interface eth1\n ip address 10.0.1.1/24\n ip address 10.0.2.1/24\ninterface lo\n ip address 10.0.0.1/32\n",
  "b.conf": "interface eth2\n ip address 10.0.1.2/24\n ipv6 address 2001:db8:1::2/64\nrouter bgp 65000\n",
]

@Test func everyRandomLabBecomesATopologyThatIsAccepted() throws {
  let clab = try ClabFolder(configurations)
  var accepted = 0
  var written = 0
  for seed in 0..<150 as Range<UInt64> {
    var lab = RandomLab(random: Seeded(state: seed))
    let text = lab.text()
    let result = clab.parse(text)
    guard let value = result.value else {
      // Only a lab of nothing but vendors' nodes has a reason.
      #expect(result.diagnostics.map(\.message) == ["no node that netloom could run"], "seed \(seed)\n\(text)")
      continue
    }
    accepted += 1
    written += value.addresses.count
    // A second reading, with nothing of the first in hand.
    let again = TopologyFile.parse(text: value.text, file: "again.yaml", baseDirectory: clab.path)
    #expect(again.value?.links.map(\.addresses) == value.lab.links.map(\.addresses), "seed \(seed)")
    #expect(clab.parse(text).value?.text == value.text, "seed \(seed)")
  }
  // The generator makes what it is meant to make.
  #expect(accepted > 120)
  #expect(written > 400)
}

@Test func noDamageToAFileBringsTheImportDown() throws {
  let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("topologies/imported")
  let sample = try Array(Data(contentsOf: folder.appendingPathComponent("campus.clab.yml")))
  let tokens = [
    "{", "}", "[", "]", ": ", "- ", "*a", "&a", "<<: ", "\"", "'", "\n", "  ", "${", "}", "null", "{{", "|", "!!x", "#",
  ]
  var random = Seeded(state: 7)
  var refused = 0
  for round in 0..<150 {
    var bytes = sample
    for _ in 0..<Int.random(in: 1...6, using: &random) {
      let at = Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: bytes.remove(at: at)
      case 1: bytes[at] = UInt8.random(in: 32...126, using: &random)
      case 2: bytes.insert(contentsOf: (tokens.randomElement(using: &random) ?? "").utf8, at: at)
      default: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...40, using: &random)))
      }
    }
    let result = ContainerlabFile.parse(
      text: String(decoding: bytes, as: UTF8.self), file: "x", baseDirectory: folder.path, environment: [:],
      target: .init(name: "x.yaml", directory: folder.path))
    #expect((result.value == nil) == !result.diagnostics.isEmpty, "round \(round)")
    for diagnostic in result.diagnostics {
      refused += 1
      #expect(!diagnostic.message.hasPrefix("this lab has no netloom form"), "round \(round): \(diagnostic)")
    }
  }
  #expect(refused > 30)
}

extension ResolvedLink {
  fileprivate var addresses: [String] { (a.addresses + b.addresses).map { "\($0)" } }
}
