import BGPWire
import NetTypes
import Testing

@testable import BGPCore

/// The same speaker the slow way: dictionaries of values, everything worked out anew for every question.
private struct Model {
  struct Neighbor {
    var asn: UInt32
    var id: UInt32
    var number: UInt8
    var isUp = true
  }

  let asn: UInt32 = 64500
  var neighbors: [Neighbor]
  var routes: [IPPrefix: [Int: PathAttributes]] = [:]

  func isExternal(_ neighbor: Int) -> Bool { neighbors[neighbor].asn != asn }

  /// Lower is better, part by part; MED left to the caller.
  private func rank(_ neighbor: Int, _ route: PathAttributes) -> [Int] {
    [
      -Int(isExternal(neighbor) ? 100 : route.localPref ?? 100), route.asPath.length, Int(route.origin.rawValue),
      isExternal(neighbor) ? 0 : 1, Int(neighbors[neighbor].id), Int(neighbors[neighbor].number),
    ]
  }

  func best(_ prefix: IPPrefix) -> Int? {
    let candidates = (routes[prefix] ?? [:]).filter {
      neighbors[$0.key].isUp && !$0.value.asPath.asns.contains(ASNumber(asn))
    }
    let byAS = Dictionary(grouping: candidates) { $0.value.asPath.asns.first?.rawValue ?? 0 }
    let winners = byAS.values.compactMap { group in
      group.min { a, b in
        var left = rank(a.key, a.value), right = rank(b.key, b.value)
        left.insert(Int(a.value.med ?? 0), at: 3)
        right.insert(Int(b.value.med ?? 0), at: 3)
        return left.lexicographicallyPrecedes(right)
      }
    }
    return winners.min { rank($0.key, $0.value).lexicographicallyPrecedes(rank($1.key, $1.value)) }?.key
  }

  /// What a neighbor should hold of us: prefix → path and communities, as text.
  func told(_ neighbor: Int) -> [String: String] {
    var result: [String: String] = [:]
    for prefix in routes.keys {
      guard let best = best(prefix), best != neighbor, let route = routes[prefix]?[best],
        isExternal(neighbor) || isExternal(best), !route.communities.contains(.noAdvertise)
      else { continue }
      if isExternal(neighbor), route.communities.contains(.noExport) { continue }
      let path = (isExternal(neighbor) ? [asn] : []) + route.asPath.asns.map(\.rawValue)
      result[prefix.description] = "\(path) \(route.communities)"
    }
    return result
  }
}

@Suite("The table against a naive model")
struct ModelTests {
  private static let prefixes: [IPPrefix] =
    (0..<12).map { prefix("10.\($0).0.0/16") } + (0..<6).map { prefix("2001:db8:\($0)::/48") }
    + [prefix("0.0.0.0/0"), prefix("10.0.0.0/8"), prefix("10.0.0.0/17"), prefix("::/0")]

  private static func randomRoute(_ model: Model, _ neighbor: Int, _ family: AddressFamily, _ generator: inout SplitMix)
    -> PathAttributes
  {
    var route = PathAttributes()
    var path: [UInt32] = model.isExternal(neighbor) ? [model.neighbors[neighbor].asn] : [64501 + generator.next(3)]
    for _ in 0..<generator.next(3) { path.append(1 + generator.next(4)) }
    if generator.next(12) == 0 { path.append(64500) }
    route.asPath = ASPath(sequence: path.map(ASNumber.init))
    route.nextHop = family == .ipv4 ? address("10.0.0.\(neighbor + 1)") : address("2001:db8:ffff::\(neighbor + 1)")
    route.origin = generator.next(4) == 0 ? .egp : .igp
    if generator.next(2) == 0 { route.med = generator.next(3) }
    if !model.isExternal(neighbor) { route.localPref = 99 + generator.next(3) }
    switch generator.next(8) {
    case 0: route.communities = [.noExport]
    case 1: route.communities = [.noAdvertise]
    case 2, 3: route.communities = [Community(1, UInt16(generator.next(3)))]
    default: break
    }
    return route
  }

  private static func step(
    _ harness: inout TableHarness, _ model: inout Model, _ peers: [PeerIndex], _ generator: inout SplitMix
  ) {
    let neighbor = Int(generator.next(UInt32(peers.count)))
    let family: AddressFamily = generator.next(3) == 0 ? .ipv6 : .ipv4
    let some = prefixes.filter { $0.family == family && generator.next(4) == 0 }
    switch generator.next(12) {
    case 0:
      if model.neighbors[neighbor].isUp {
        harness.told[peers[neighbor]] = nil
        harness.table.sessionDown(peers[neighbor])
        for prefix in prefixes { model.routes[prefix]?[neighbor] = nil }
      } else {
        harness.up(peers[neighbor], id: model.neighbors[neighbor].id)
      }
      model.neighbors[neighbor].isUp.toggle()
    case 1:
      if model.neighbors[neighbor].isUp { harness.table.sendAgain(peers[neighbor], Family(family)) }
    case 2...4:
      guard model.neighbors[neighbor].isUp, !some.isEmpty else { return }
      harness.receive(UpdateMessage(withdrawn: some).encode(), from: peers[neighbor])
      for prefix in some { model.routes[prefix]?[neighbor] = nil }
    case 5:
      _ = harness.table.process(budget: 3)
    case 6:
      harness.settle(budget: 5, limit: 60)
    default:
      guard model.neighbors[neighbor].isUp, !some.isEmpty else { return }
      let route = randomRoute(model, neighbor, family, &generator)
      harness.receive(UpdateMessage(announced: some, attributes: route).encode(), from: peers[neighbor])
      for prefix in some { model.routes[prefix, default: [:]][neighbor] = route }
    }
  }

  private static func told(_ harness: borrowing TableHarness, _ peer: PeerIndex) -> [String: String] {
    var result: [String: String] = [:]
    for (prefix, attributes) in harness.told[peer] ?? [:] {
      result[prefix.description] = "\(attributes.asPath.asns.map(\.rawValue)) \(attributes.communities)"
    }
    return result
  }

  @Test("random updates, losses, refreshes and half-done work end where the model ends", arguments: 0..<40)
  func agreement(seed: Int) {
    var generator = SplitMix(seed: UInt64(seed))
    var harness = TableHarness()
    var model = Model(neighbors: [])
    var peers: [PeerIndex] = []
    for number in 0..<5 {
      let asn: UInt32 = number < 2 ? 64501 + UInt32(number) : number == 2 ? 64501 : number == 3 ? 64500 : 64503
      let id = 1 + generator.next(2)
      model.neighbors.append(Model.Neighbor(asn: asn, id: id, number: UInt8(number + 1)))
      peers.append(harness.peer(UInt8(number + 1), asn: asn, id: id))
    }
    for round in 0..<12 {
      for _ in 0..<25 { Self.step(&harness, &model, peers, &generator) }
      harness.settle(budget: 5, limit: 100)
      for (number, peer) in peers.enumerated() where model.neighbors[number].isUp {
        #expect(Self.told(harness, peer) == model.told(number), "seed \(seed) round \(round) neighbor \(number)")
      }
      #expect(harness.table.bestCount == Self.prefixes.count { model.best($0) != nil })
    }
    leavesNothing(&harness, peers)
  }

  /// Everything that was counted, interned or chained is given back.
  private func leavesNothing(_ harness: inout TableHarness, _ peers: [PeerIndex]) {
    for peer in peers {
      harness.told[peer] = nil
      harness.table.removePeer(peer)
    }
    harness.settle()
    #expect(harness.table.attributes.count == 0)
    #expect(harness.table.outgoing.count == 0)
    #expect(harness.table.paths.count == 0)
    #expect(harness.table.tables[.ipv4Unicast].count == 0)
    #expect(harness.table.tables[.ipv6Unicast].count == 0)
    #expect(harness.forwarding.isEmpty)
    #expect(harness.table.bestCount == 0)
  }
}

@Suite("The small tables under the large one")
struct IndexTests {
  @Test("a hash index behaves as a dictionary through growth, collisions and deletions")
  func hashIndex() {
    var index = HashIndex()
    var model: [UInt32: UInt32] = [:]  // id → hash
    var generator = SplitMix(seed: 7)
    var nextID: UInt32 = 1
    for _ in 0..<20_000 {
      if generator.next(3) > 0 || model.isEmpty {
        let hash = generator.next(600)  // many collisions, runs that wrap around
        index.insert(hash, nextID)
        model[nextID] = hash
        nextID += 1
      } else if let (id, hash) = model.randomElement(using: &generator) {
        index.remove(hash, id)
        model[id] = nil
      }
    }
    #expect(index.count == model.count)
    for (id, hash) in model { #expect(index.find(hash) { $0 == id } == id) }
    #expect(index.find(601) { _ in true } == 0)
  }

  @Test("runs of routes keep their entries while they grow and shrink")
  func arena() {
    var table = PrefixTable(.ipv4Unicast, seed: 1)
    let id = table.findOrInsert(PrefixKey(prefix("192.0.2.0/24")))
    for peer in 1...300 { table.addRoute(id, RouteEntry(path: UInt32(peer) * 3, peer: UInt16(peer))) }
    for peer in stride(from: 2, through: 300, by: 2) {
      if let position = table.position(id, of: UInt16(peer)) { table.removeRoute(id, at: position) }
    }
    #expect(table[id].routeCount == 150)
    for peer in 1...300 {
      let path = table.position(id, of: UInt16(peer)).map { table.arena[$0].path }
      #expect(path == (peer % 2 == 1 ? UInt32(peer) * 3 : nil))
    }
  }

  @Test("interned blocks are equal by id, and gone with their last reference")
  func blocks() {
    var blocks = BlockTable(seed: 3)
    let bytes: [UInt8] = [1, 2, 3]
    let a = bytes.withUnsafeBytes { blocks.intern($0) }
    let b = bytes.withUnsafeBytes { blocks.intern($0) }
    #expect(a == b && a != 0)
    blocks.retain(a)
    blocks.retain(a)
    blocks.release(a)
    #expect(blocks.count == 1)
    #expect(Array(blocks.bytes(a)) == bytes)
    blocks.release(a)
    #expect(blocks.count == 0)
    #expect(bytes.withUnsafeBytes { blocks.find($0, hash: blocks.hash($0)) } == 0)
  }
}
