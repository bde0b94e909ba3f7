/// `variables:` and `matrix:` of tests: every `${NAME}` in a test's scalars is replaced, and a test with a matrix becomes
/// one test for each combination, before anything looks at what a scalar means. Places stay those of the written text.
///
///   file's tree ─► tree without tests, checked and resolved as ever
///              └─► [WrittenTest] ─ ShapeChecker ─► TestReader
///
/// A scalar with a name that nobody knows is reported here and not looked at again. `$${NAME}` is a `${NAME}` that is
/// meant for somebody else, such as a shell.
struct TestExpansion {
  /// Of one test.
  static let combinationLimit = 1000
  /// Values of all tests when they are written out.
  private static let valueLimit = 1_000_000

  /// Bytes of all tests when they are written out.
  private static let byteLimit = 32 << 20

  private let reporter: Reporter
  private var values = 0
  private var bytes = 0

  private init(reporter: Reporter) { self.reporter = reporter }

  /// The file with an empty list of tests, and its tests written out. What is no list of tests stays in the file, for
  /// the checker's complaint.
  static func expand(_ file: Tree, _ reporter: Reporter) -> (rest: Tree, tests: [WrittenTest]) {
    guard let entry = file.entry("tests"), case .list(let items) = entry.value.content else { return (file, []) }
    var expansion = TestExpansion(reporter: reporter)
    var scope = VariableScope(reporter: reporter)
    scope.add(file["variables"])
    let tests = items.flatMap { expansion.expand($0, scope) }
    let rest = file.entries.map { other in
      other.key == "tests"
        ? Tree.Entry(
          key: other.key, keyPlace: other.keyPlace, value: Tree(place: entry.value.place, content: .list([])))
        : other
    }
    return (Tree(place: file.place, content: .mapping(rest)), tests)
  }

  private mutating func expand(_ test: Tree, _ file: VariableScope) -> [WrittenTest] {
    guard test.isMapping else { return [WrittenTest(tree: test)] }
    let checker = ShapeChecker(reporter: reporter)
    if let entry = test.entry("variables") {
      checker.check(entry.value, VariableKeys.variables, "variables", owner: entry.keyPlace)
    }
    if let entry = test.entry("matrix") {
      checker.check(entry.value, VariableKeys.matrix, "matrix", owner: entry.keyPlace)
    }
    var scope = file
    scope.add(test["variables"])
    let plain = test.without("variables").without("matrix")
    guard let matrix = test.entry("matrix") else {
      guard isWithinLimit(plain, times: 1, test.place) else { return [] }
      let tree = scope.replacing(in: plain)
      return isShortEnough(tree, test.place) ? [WrittenTest(tree: tree)] : []
    }
    let axes = axes(matrix.value, beside: test["variables"], scope)
    guard let combinations = combinations(axes, matrix.keyPlace),
      isWithinLimit(plain, times: max(1, combinations.count), matrix.keyPlace)
    else { return [] }
    // Names without usable values are known all the same: what is wrong with them has been said.
    for axis in axes where axis.values.isEmpty { scope.define(axis.name, nil) }
    if combinations.isEmpty { return [WrittenTest(tree: scope.replacing(in: plain))] }
    var written: [WrittenTest] = []
    for combination in combinations {
      for (name, value) in combination { scope.define(name, value) }
      let label = combination.map { "\($0.name)=\($0.value)" }.joined(separator: ", ")
      let tree = Self.named(scope.replacing(in: plain), label)
      guard isShortEnough(tree, matrix.keyPlace) else { return [] }
      written.append(
        WrittenTest(
          tree: tree, combination: Reporter.Combination(test: test.place, label: label, count: combinations.count)))
    }
    return written
  }

  private struct Axis {
    var name: String
    var values: [String]
  }

  private func axes(_ matrix: Tree, beside variables: Tree?, _ scope: VariableScope) -> [Axis] {
    matrix.entries.map { entry in
      if let other = variables?.entry(entry.key) {
        reporter.error(
          entry.keyPlace,
          "`\(entry.key)` stands under `variables` too (line \(other.keyPlace.line)); expected it in one of them")
      }
      var values: [String] = []
      for item in entry.value.list {
        guard !item.isAbsent, let value = scope.replaced(item) else { continue }
        if values.contains(value) {
          reporter.error(item.place, "\(entry.key): `\(value)` stands twice; expected each value once")
        } else {
          values.append(value)
        }
      }
      return Axis(name: entry.key, values: values)
    }
  }

  /// Every combination, the first name changing last; nil: too many, which was reported.
  private func combinations(_ axes: [Axis], _ place: Place) -> [[(name: String, value: String)]]? {
    let axes = axes.filter { !$0.values.isEmpty }
    guard !axes.isEmpty else { return [] }
    var count = 1
    for axis in axes {
      count *= axis.values.count
      guard count <= Self.combinationLimit else {
        reporter.error(
          place, "the matrix has more than \(Self.combinationLimit) combinations; expected fewer values, or tests apart"
        )
        return nil
      }
    }
    return axes.reduce([[]]) { combinations, axis in
      combinations.flatMap { combination in axis.values.map { combination + [(axis.name, $0)] } }
    }
  }

  private mutating func isWithinLimit(_ tree: Tree, times: Int, _ place: Place) -> Bool {
    let wasWithin = values <= Self.valueLimit
    values += tree.valueCount * times
    if wasWithin, values > Self.valueLimit {
      reporter.error(
        place,
        "the tests of this file have more than \(Self.valueLimit) values when all are written out; expected fewer")
    }
    return values <= Self.valueLimit
  }

  /// Counted as they are written: what is over is never made.
  private mutating func isShortEnough(_ tree: Tree, _ place: Place) -> Bool {
    let wasWithin = bytes <= Self.byteLimit
    bytes += tree.byteCount
    if wasWithin, bytes > Self.byteLimit {
      reporter.error(
        place,
        "the tests of this file have more than \(Self.byteLimit >> 20) MiB when all are written out; expected less")
    }
    return bytes <= Self.byteLimit
  }

  private static func named(_ test: Tree, _ label: String) -> Tree {
    let entries = test.entries.map { entry in
      guard entry.key == "name", let name = entry.value.text, !name.isEmpty else { return entry }
      let value = Tree(place: entry.value.place, content: .scalar("\(name) [\(label)]", plain: false))
      return Tree.Entry(key: entry.key, keyPlace: entry.keyPlace, value: value)
    }
    return Tree(place: test.place, content: .mapping(entries))
  }
}

/// An entry of `tests:` without variables, or one combination of its matrix.
struct WrittenTest {
  var tree: Tree
  var combination: Reporter.Combination?
}

extension Tree {
  fileprivate var byteCount: Int {
    switch content {
    case .scalar(let text, _): text.utf8.count
    case .list(let items): items.reduce(0) { $0 + $1.byteCount }
    case .mapping(let entries): entries.reduce(0) { $0 + $1.key.utf8.count + $1.value.byteCount }
    }
  }

  fileprivate var valueCount: Int {
    switch content {
    case .scalar: 1
    case .list(let items): items.reduce(1) { $0 + $1.valueCount }
    case .mapping(let entries): entries.reduce(1) { $0 + $1.value.valueCount }
    }
  }
}
