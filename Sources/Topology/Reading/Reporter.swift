/// Collects what is wrong with a file while the readers go on. One reporter belongs to one reading, on one thread.
final class Reporter {
  private(set) var diagnostics: [Diagnostic] = []
  private(set) var failed = false
  /// `defaults:` are read once per node: the same complaint about the same place is said once.
  private var said: Set<Diagnostic> = []
  /// Comparisons left for suggestions, so that a file with very many mistakes is still read in linear time.
  private var comparisons = 1_000_000

  func error(_ place: Place, _ message: String) {
    failed = true
    add(Diagnostic(place: place, severity: .error, message: message))
  }

  func warning(_ place: Place, _ message: String) {
    add(Diagnostic(place: place, severity: .warning, message: message))
  }

  private func add(_ diagnostic: Diagnostic) {
    if said.insert(diagnostic).inserted { diagnostics.append(diagnostic) }
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
