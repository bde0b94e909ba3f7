import NetTypes
import Synchronization
import Testing

/// An element that tells how often any of its kind was compared.
private struct Compared: Hashable {
  static let comparisons = Mutex(0)
  var number: Int

  static func == (a: Compared, b: Compared) -> Bool {
    comparisons.withLock { $0 += 1 }
    return a.number == b.number
  }
  func hash(into hasher: inout Hasher) { hasher.combine(number) }
}

@Suite struct CommonSubsequenceTests {
  private func random(_ kinds: Int, _ generator: inout SystemRandomNumberGenerator) -> [Int] {
    (0..<Int.random(in: 0...12, using: &generator)).map { _ in Int.random(in: 0..<kinds, using: &generator) }
  }

  @Test("without doubles as many elements stay as can")
  func longest() {
    for _ in 0..<300 {
      let old = Array((0..<12).shuffled().prefix(.random(in: 0...12)))
      let new = Array((0..<12).shuffled().prefix(.random(in: 0...12)))
      #expect(CommonSubsequence(of: old, new).pairs.count == table(old, new), "\(old) \(new)")
    }
  }

  /// The length by the textbook's quadratic table.
  private func table(_ a: [Int], _ b: [Int]) -> Int {
    var row = [Int](repeating: 0, count: b.count + 1)
    for x in a {
      var diagonal = 0
      for (place, y) in b.enumerated() {
        let above = row[place + 1]
        row[place + 1] = x == y ? diagonal + 1 : max(above, row[place])
        diagonal = above
      }
    }
    return row[b.count]
  }

  @Test("what is removed and what is inserted make the new list of the old one, doubles or not")
  func carriedOut() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<500 {
      let (old, new) = (random(5, &generator), random(5, &generator))
      let common = CommonSubsequence(of: old, new)
      #expect(common.pairs.allSatisfy { old[$0.old] == new[$0.new] })
      var list = old
      for place in common.removed.reversed() { list.remove(at: place) }
      for place in common.inserted { list.insert(new[place], at: place) }
      #expect(list == new, "\(old) \(new)")
    }
  }

  @Test("an element that may not stay pairs with none")
  func barred() {
    let common = CommonSubsequence(of: [1, nil, 3], [1, 2, 3])
    #expect(common.pairs.map(\.old) == [0, 2])
    #expect(common.removed == [1] && common.inserted == [1])
  }

  @Test("ten thousand replaced by ten thousand others are compared a few times each, not each with each")
  func comparisons() {
    let count = 10_000
    let old = (0..<count).map { Compared(number: $0) }
    let new = (0..<count).map { Compared(number: count + $0) }
    Compared.comparisons.withLock { $0 = 0 }
    let common = CommonSubsequence(of: old, new)
    let comparisons = Compared.comparisons.withLock { $0 }
    #expect(common.removed.count == count && common.inserted.count == count)
    // Those of a table of hashes that grows; a square would be 100,000,000.
    #expect(comparisons < 20 * count, "\(comparisons)")
  }
}
