/// Collects what is wrong with a file while the readers go on. One reporter belongs to one reading, on one thread.
final class Reporter {
  /// One of the tests that a matrix makes of one that is written.
  struct Combination {
    /// Of the test as it is written.
    var test: Place
    var label: String
    /// Of the combinations.
    var count: Int
  }

  private(set) var failed = false
  private var plain: [Diagnostic] = []
  /// `defaults:` are read once per node: the same complaint about the same place is said once.
  private var said: Set<Diagnostic> = []
  /// Places about which the last word has been said.
  private var settled: Set<Place> = []
  /// Comparisons left for suggestions, so that a file with very many mistakes is still read in linear time.
  private var comparisons = 1_000_000

  /// The combination that is being read. What is wrong with all of them is said once, and what is wrong with some is
  /// said of the first.
  var combination: Combination?
  private var combined: [Place: CombinedDiagnostics] = [:]

  var diagnostics: [Diagnostic] { plain + combined.values.flatMap(\.merged) }

  func error(_ place: Place, _ message: String) {
    failed = true
    add(Diagnostic(place: place, severity: .error, message: message))
  }

  func warning(_ place: Place, _ message: String) {
    add(Diagnostic(place: place, severity: .warning, message: message))
  }

  /// Whatever else will be said about this place is passed over.
  func settle(_ place: Place) { settled.insert(place) }

  private func add(_ diagnostic: Diagnostic) {
    if settled.contains(diagnostic.place) { return }
    if let combination {
      combined[combination.test, default: CombinedDiagnostics(count: combination.count)].add(
        diagnostic, of: combination.label)
    } else if said.insert(diagnostic).inserted {
      plain.append(diagnostic)
    }
  }

  func result<Value: Sendable>(_ value: Value?) -> Parsed<Value> {
    Parsed(
      value: failed ? nil : value, diagnostics: diagnostics.sorted { ($0.place, $0.message) < ($1.place, $1.message) })
  }

  /// `; did you mean X?` for the nearest candidate, or nothing when none is near.
  func suggestion(for name: String, from candidates: some Sequence<String>) -> String {
    let wanted = Array(name.utf8)
    let limit = max(wanted.count > 1 ? 1 : 0, wanted.count / 3)
    var best: (distance: Int, name: String)?
    for candidate in candidates {
      guard comparisons > 0 else { break }
      comparisons -= 1
      guard abs(candidate.utf8.count - wanted.count) <= limit else { continue }
      let distance = editDistance(wanted, Array(candidate.utf8))
      if distance <= limit, best.map({ (distance, candidate) < $0 }) ?? true { best = (distance, candidate) }
    }
    return best.map { "; did you mean `\($0.name)`?" } ?? ""
  }
}

/// What is wrong with the combinations of one test.
private struct CombinedDiagnostics {
  let count: Int
  private var order: [Diagnostic] = []
  private var labels: [Diagnostic: [String]] = [:]

  init(count: Int) { self.count = count }

  mutating func add(_ diagnostic: Diagnostic, of label: String) {
    if labels[diagnostic] == nil { order.append(diagnostic) }
    if labels[diagnostic]?.last != label { labels[diagnostic, default: []].append(label) }
  }

  var merged: [Diagnostic] {
    var places: Set<Place> = []
    let common = order.filter { labels[$0]?.count == count }
    for diagnostic in common { places.insert(diagnostic.place) }
    return common
      + order.compactMap { diagnostic in
        guard places.insert(diagnostic.place).inserted, let label = labels[diagnostic]?.first else { return nil }
        return Diagnostic(
          place: diagnostic.place, severity: diagnostic.severity, message: "\(diagnostic.message) [\(label)]")
      }
  }
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var beforeLast: [Int] = []
  var last = Array(0...b.count)
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var cost = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforeLast[j - 1] + 1) }
      row.append(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.count]
}
