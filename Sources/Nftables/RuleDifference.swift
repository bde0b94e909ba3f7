internal import NetTypes

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
    let common = CommonSubsequence(of: old.map { mustGo($0) ? nil : $0 }, new)
    var nextOld = 0
    var nextNew = 0
    for (oldPlace, newPlace) in common.pairs + [(old.count, new.count)] {
      deleted += standing[nextOld..<oldPlace].map(\.handle)
      let successor = oldPlace < standing.count ? standing[oldPlace].handle : nil
      inserted += desired[nextNew..<newPlace].map { ($0, successor) }
      nextOld = oldPlace + 1
      nextNew = newPlace + 1
    }
    deletesAll = !standing.isEmpty && deleted.count == standing.count
  }
}
