/// How the rules of one chain get from what stands to what is wanted.
struct RuleDifference {
  /// Rules to take out.
  private(set) var deleted: [RuleHandle] = []
  /// Every rule goes, as one request does it: the kernel looks each handle up from the start of its chain.
  private(set) var deletesAll = false
  /// Rules to put in, in order, each before a rule that stays, or (nil) at the end.
  private(set) var inserted: [(rule: Rule, before: RuleHandle?)] = []

  /// - Parameter mustGo: standing rules that cannot stay even if they are wanted.
  init(from standing: [StandingRule], to desired: [Rule], mustGo: (Rule) -> Bool) {
    let old = standing.map(\.rule.canonical)
    let new = desired.map(\.canonical)
    let pairs = Self.commonSubsequence(old.map { mustGo($0) ? nil : $0 }, new)
    var nextOld = 0
    var nextNew = 0
    for (oldPlace, newPlace) in pairs + [(old.count, new.count)] {
      deleted += standing[nextOld..<oldPlace].map(\.handle)
      let successor = oldPlace < standing.count ? standing[oldPlace].handle : nil
      inserted += desired[nextNew..<newPlace].map { ($0, successor) }
      nextOld = oldPlace + 1
      nextNew = newPlace + 1
    }
    deletesAll = !standing.isEmpty && deleted.count == standing.count
  }

  /// Places of rules that are the same in both lists, in rising order in both. Equal rules at the beginning and at the
  /// end are paired first; of the rest the k-th of its kind here with the k-th there, and of those pairs the longest run
  /// that does not cross. The longest there is where no rule stands twice; never quadratic.
  static func commonSubsequence(_ old: [Rule?], _ new: [Rule]) -> [(Int, Int)] {
    let shorter = min(old.count, new.count)
    var head = 0
    while head < shorter, old[head] == new[head] { head += 1 }
    var tail = 0
    while tail < shorter - head, old[old.count - 1 - tail] == new[new.count - 1 - tail] { tail += 1 }
    var places: [Rule: [Int]] = [:]
    for place in (head..<(new.count - tail)).reversed() { places[new[place], default: []].append(place) }
    var candidates: [(Int, Int)] = []
    for place in head..<(old.count - tail) {
      if let rule = old[place], let partner = places[rule]?.popLast() { candidates.append((place, partner)) }
    }
    return (0..<head).map { ($0, $0) } + longestRise(candidates)
      + (0..<tail).reversed().map { (old.count - 1 - $0, new.count - 1 - $0) }
  }

  /// The longest rising subsequence by the second number, of pairs that rise by the first (patience sorting).
  private static func longestRise(_ pairs: [(Int, Int)]) -> [(Int, Int)] {
    var ends: [Int] = []  // of the best run of each length: the place of its last pair
    var previous = [Int?](repeating: nil, count: pairs.count)
    for (place, pair) in pairs.enumerated() {
      var low = 0
      var high = ends.count
      while low < high {
        let middle = (low + high) / 2
        if pairs[ends[middle]].1 < pair.1 { low = middle + 1 } else { high = middle }
      }
      previous[place] = low > 0 ? ends[low - 1] : nil
      if low == ends.count { ends.append(place) } else { ends[low] = place }
    }
    var run: [(Int, Int)] = []
    var place = ends.last
    while let here = place {
      run.append(pairs[here])
      place = previous[here]
    }
    return run.reversed()
  }
}
