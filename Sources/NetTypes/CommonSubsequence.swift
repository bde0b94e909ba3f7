/// What two lists have in common, in the order of both: the base of every difference between what stands and what is
/// wanted, where order counts.
///
/// Equal elements at the beginning and at the end are paired first; of the rest the k-th of its kind here with the k-th
/// there, and of those pairs the longest run that does not cross (patience sorting). That is the longest common
/// subsequence where no element stands twice, and a good one elsewhere. Time grows as n log n and memory as n, however
/// little the lists have in common: a difference by Myers (`CollectionDifference`) takes the square of what differs.
public struct CommonSubsequence: Sendable {
  /// Places of equal elements, rising in both lists.
  public let pairs: [(old: Int, new: Int)]
  private let counts: (old: Int, new: Int)

  /// - Parameter old: nil is an element that pairs with none.
  public init<Element: Hashable>(of old: [Element?], _ new: [Element]) {
    let shorter = min(old.count, new.count)
    var head = 0
    while head < shorter, old[head] == new[head] { head += 1 }
    var tail = 0
    while tail < shorter - head, old[old.count - 1 - tail] == new[new.count - 1 - tail] { tail += 1 }
    var places: [Element: [Int]] = [:]
    for place in (head..<(new.count - tail)).reversed() { places[new[place], default: []].append(place) }
    var candidates: [(old: Int, new: Int)] = []
    for place in head..<(old.count - tail) {
      if let element = old[place], let partner = places[element]?.popLast() { candidates.append((place, partner)) }
    }
    pairs =
      (0..<head).map { ($0, $0) } + Self.longestRise(candidates)
      + (0..<tail).reversed().map { (old.count - 1 - $0, new.count - 1 - $0) }
    counts = (old.count, new.count)
  }

  /// Places in the old list of what the new one has not got there, rising.
  public var removed: [Int] { Self.gaps(pairs.map(\.old), upTo: counts.old) }

  /// Places in the new list of what the old one has not got there, rising.
  public var inserted: [Int] { Self.gaps(pairs.map(\.new), upTo: counts.new) }

  private static func gaps(_ kept: [Int], upTo count: Int) -> [Int] {
    var next = 0
    var gaps: [Int] = []
    for place in kept + [count] {
      gaps += next..<place
      next = place + 1
    }
    return gaps
  }

  /// The longest rising subsequence by the second number, of pairs that rise by the first.
  private static func longestRise(_ pairs: [(old: Int, new: Int)]) -> [(old: Int, new: Int)] {
    var ends: [Int] = []  // of the best run of each length: the place of its last pair
    var previous = [Int?](repeating: nil, count: pairs.count)
    for (place, pair) in pairs.enumerated() {
      var low = 0
      var high = ends.count
      while low < high {
        let middle = (low + high) / 2
        if pairs[ends[middle]].new < pair.new { low = middle + 1 } else { high = middle }
      }
      previous[place] = low > 0 ? ends[low - 1] : nil
      if low == ends.count { ends.append(place) } else { ends[low] = place }
    }
    var run: [(old: Int, new: Int)] = []
    var place = ends.last
    while let here = place {
      run.append(pairs[here])
      place = previous[here]
    }
    return run.reversed()
  }
}
