import NetTypes
import Testing

@testable import Topology

private func prefix(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }

@Test func aPoolGivesOutSubnetsInOrderAroundWhatIsTaken() throws {
  var pool = AddressPool(try prefix("10.0.0.0/28"))
  pool.exclude(try prefix("10.0.0.2/31"))
  pool.exclude(try prefix("10.0.0.5/32"))
  // Free pairs by hand: 0-1, 6-7, 8-9, 10-11, 12-13, 14-15.
  let given = (0..<7).map { _ in pool.next(length: 31)?.description }
  #expect(given == ["10.0.0.0/31", "10.0.0.6/31", "10.0.0.8/31", "10.0.0.10/31", "10.0.0.12/31", "10.0.0.14/31", nil])
  // The odd one beside the excluded address is still there.
  #expect(pool.next(length: 32)?.description == "10.0.0.4/32")
  #expect(pool.next(length: 32) == nil)
}

@Test func lengthsShareAPoolWithoutOverlap() throws {
  var pool = AddressPool(try prefix("fd00::/32"))
  let given = [127, 64, 127, 64, 128].map { pool.next(length: $0)?.description }
  #expect(given == ["fd00::/127", "fd00:0:0:1::/64", "fd00::2/127", "fd00:0:0:2::/64", "fd00::4/128"])
}

@Test func theLastAddressOfAllIsGivenOutAndNothingWraps() throws {
  var pool = AddressPool(try prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127"))
  #expect(pool.next(length: 128)?.description == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/128")
  #expect(pool.next(length: 128)?.description == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")
  #expect(pool.next(length: 128) == nil)
  var all = AddressPool(try prefix("::/0"))
  #expect(all.next(length: 0)?.description == "::/0")
  #expect(all.next(length: 128) == nil)
}

@Test func whatCoversThePoolLeavesNothingUnlessItIsARoute() throws {
  var pool = AddressPool(try prefix("10.0.0.0/16"))
  pool.exclude(try prefix("0.0.0.0/0"), wholePoolCounts: false)
  #expect(pool.next(length: 24)?.description == "10.0.0.0/24")
  pool.exclude(try prefix("10.0.0.0/8"))
  #expect(pool.next(length: 24) == nil)
}

/// Random requests against a set of all addresses ever given or taken.
@Test func randomRequestsNeverOverlap() throws {
  var generator = SplitMix(state: 7)
  for _ in 0..<200 {
    var pool = AddressPool(try prefix("10.0.0.0/22"))
    var used: Set<UInt128> = []
    for _ in 0..<Int.random(in: 0..<6, using: &generator) {
      let length = Int.random(in: 24...32, using: &generator)
      let address = IPAddress(number: 0x0A00_0000 + UInt128(Int.random(in: 0..<1024, using: &generator)), family: .ipv4)
      let taken = try #require(IPPrefix(address, length: length))
      pool.exclude(taken)
      used.formUnion(taken.range)
    }
    var refused = false
    for _ in 0..<300 {
      let length = Int.random(in: 26...32, using: &generator)
      guard let given = pool.next(length: length) else {
        refused = true
        continue
      }
      #expect(used.isDisjoint(with: given.range))
      #expect(try prefix("10.0.0.0/22").contains(given))
      used.formUnion(given.range)
    }
    #expect(refused || used.count < 1024)
  }
}

private struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
