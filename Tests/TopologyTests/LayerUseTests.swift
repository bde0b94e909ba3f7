import NetTypes
import Testing
import Topology

private let base = """
  name: t
  defaults: {congestion: reno}
  topology:
    nodes:
      a: {kind: router, asn: 64500, filter: [{otherwise: drop}]}
      b: {kind: router, asn: 64501, congestion: bbr}
    links: [{endpoints: ["a:eth1", "b:eth1"], relation: peer-peer}]
  policies:
    p: [{then: accept}]
  """

private func layers(_ changes: [String]) -> [FileLayer] {
  // All of one name, as a user applies the same file again and again.
  [FileLayer(file: "t.yaml", text: base)] + changes.map { FileLayer(file: "c.yaml", text: $0) }
}

private func read(_ layers: [FileLayer]) -> (lab: Parsed<ResolvedLab>, needed: [Int]) {
  TopologyFile.read(layers, baseDirectory: "/nonexistent")
}

private func needed(_ changes: String...) -> [Int] { read(layers(changes)).needed }

private func filter(_ port: Int) -> String { "filter: [{match: {proto: tcp, port: \(port)}, then: drop}]" }

@Test func aChangeIsNeededAsLongAsOneOfItsKeysWasNotWrittenAgain() {
  let one = "topology: {nodes: {a: {\(filter(1))}}}"
  let two = "topology: {nodes: {a: {\(filter(2))}, b: {\(filter(2))}}}"
  let three = "topology: {nodes: {a: {\(filter(3))}}}"
  #expect(needed(one) == [0, 1])
  #expect(needed(one, one, one) == [0, 3])
  #expect(needed(one, two, three) == [0, 2, 3])
  #expect(needed(one, two, three, "topology: {nodes: {b: {\(filter(4))}}}") == [0, 3, 4])
}

@Test func whatOnlyAChangeAddedIsForgottenWithItsTakingAway() {
  let added = "topology: {nodes: {b: {\(filter(1))}}}\npolicies: {q: [{then: reject}]}"
  #expect(needed(added, "topology: {nodes: {b: {filter: null}}}\npolicies: {q: null}") == [0])
  // The file's own filter is taken away by the CHANGE, which is needed for that.
  #expect(needed("topology: {nodes: {a: {\(filter(1))}}}", "topology: {nodes: {a: {filter: null}}}") == [0, 2])
  // `q` must be there to be taken away by a CHANGE that is needed for `r`; and `a` must not get back what came with it.
  #expect(needed(added, "policies: {q: null, r: [{then: reject}]}") == [0, 1, 2])
  let both = "topology: {nodes: {b: {\(filter(1))}}}\npolicies: {q: [{then: reject}]}"
  #expect(
    needed(both, "topology: {nodes: {b: {filter: null}}}", "policies: {q: null, r: [{then: reject}]}") == [0, 1, 2, 3])
}

@Test func withMistakesAllAreNeeded() {
  let wrong = read(layers(["topology: {nodes: {a: {\(filter(1))}}}", "topology: {nodes: {a: {filter: 7}}}"]))
  #expect(wrong.lab.value == nil && wrong.needed == [0, 1, 2])
}

@Test func theNeededLayersMakeTheSameLabAsAll() throws {
  var tried = 0
  while tried < 200 {
    var all = layers([])
    for _ in 0..<Int.random(in: 1...7) {
      let next = all + [FileLayer(file: "c.yaml", text: randomChange())]
      // One that takes away what is not there is refused, and never was.
      if read(next).lab.value != nil { all = next }
    }
    guard all.count > 1 else { continue }
    tried += 1
    let whole = read(all)
    let kept = whole.needed.map { all[$0] }
    let (wanted, found) = (try #require(whole.lab.value), read(kept))
    let lab = try #require(found.lab.value, "\(all.map(\.text)) \(whole.needed) \(shown(found.lab.errors))")
    #expect(lab.nodes == wanted.nodes, "\(all.map(\.text)) \(whole.needed)")
    #expect(lab.policies.sorted { $0.name < $1.name } == wanted.policies.sorted { $0.name < $1.name })
    // At most one for each of the keys, and what those need.
    #expect(kept.count == Set(whole.needed).count && whole.needed.first == 0)
  }
}

/// Some of four keys of two nodes and three policies, each written or taken away.
private func randomChange() -> String {
  func value(_ written: String) -> String { Bool.random() ? written : "null" }
  func some(_ all: [String]) -> [String] { all.filter { _ in Int.random(in: 0..<3) == 0 } }
  let nodes = ["a", "b"].compactMap { node in
    let keys = some([
      "filter: " + value("[{match: {proto: tcp, port: \(Int.random(in: 1...5))}, then: drop}]"),
      "congestion: " + value("cubic"), "networks: " + value("[192.0.\(node == "a" ? 2 : 3).0/24]"),
    ])
    return keys.isEmpty ? nil : "\(node): {\(keys.joined(separator: ", "))}"
  }
  let policies = some(["p", "q", "r"]).map {
    "\($0): " + value("[{set: {local-pref: \(Int.random(in: 1...9))}, then: accept}]")
  }
  return (nodes.isEmpty ? "" : "topology: {nodes: {\(nodes.joined(separator: ", "))}}\n")
    + (policies.isEmpty ? "" : "policies: {\(policies.joined(separator: ", "))}\n")
}
