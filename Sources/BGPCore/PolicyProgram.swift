import BGPWire
import NetTypes

/// A policy made ready to run. It is run once per attribute set: what it asks of the prefix is answered beforehand, by
/// the prefix's **class**, the set of its statements whose prefix condition holds. Prefixes of one class share the
/// outcome. A policy that never asks for prefixes has one class, 0.
final class PolicyProgram {
  let name: String
  private let statements: [Statement]
  /// By statement; nil: it does not ask.
  private let prefixConditions: [PrefixMatcher?]
  /// One bit a statement, as words, by class.
  private var classes: [[UInt64]] = []
  private var classIndex: [[UInt64]: UInt32] = [:]

  /// Prefixes fall into more than one class.
  let asksForPrefix: Bool

  init(_ policy: Policy) {
    name = policy.name
    statements = policy.statements
    prefixConditions = policy.statements.map { $0.match.prefixes.isEmpty ? nil : PrefixMatcher($0.match.prefixes) }
    asksForPrefix = prefixConditions.contains { $0 != nil }
    if !asksForPrefix { classes = [[]] }
  }

  func prefixClass(_ key: PrefixKey, _ family: Family) -> UInt32 {
    guard asksForPrefix else { return 0 }
    var words = [UInt64](repeating: 0, count: (prefixConditions.count + 63) / 64)
    for (position, condition) in prefixConditions.enumerated() {
      if let condition, condition.contains(key, family) { words[position / 64] |= 1 << UInt64(position % 64) }
    }
    if let known = classIndex[words] { return known }
    let number = UInt32(classes.count)
    classes.append(words)
    classIndex[words] = number
    return number
  }

  private func prefixHolds(_ statement: Int, _ prefixClass: UInt32) -> Bool {
    guard prefixConditions[statement] != nil else { return true }
    return classes[Int(prefixClass)][statement / 64] >> UInt64(statement % 64) & 1 == 1
  }

  /// Runs the statements in order; each sees what those before it changed.
  /// - Returns: accepted or not. What decides nothing accepts at the end.
  func evaluate(
    _ index: borrowing AttributeIndex, _ prefixClass: UInt32, _ subject: PolicySubject, _ edits: inout AttributeEdits
  ) -> Bool {
    for (position, statement) in statements.enumerated() {
      guard prefixHolds(position, prefixClass), Self.holds(statement.match, index, subject, edits) else { continue }
      if statement.then == .reject { return false }
      edits.apply(statement.set, index, subject)
      if statement.then == .accept { return true }
    }
    return true
  }

  private static func holds(
    _ match: Match, _ index: borrowing AttributeIndex, _ subject: PolicySubject, _ edits: AttributeEdits
  ) -> Bool {
    guard match.origins.isEmpty || match.origins.contains(subject.source) else { return false }
    guard match.neighbors.isEmpty || match.neighbors.contains(subject.neighbor) else { return false }
    if !match.communities.isEmpty {
      let communities = edits.communities(index)
      guard match.communities.contains(where: { communities.contains(where: $0.matches) }) else { return false }
    }
    if !match.largeCommunities.isEmpty {
      let communities = edits.largeCommunities(index, subject.localASN)
      guard match.largeCommunities.contains(where: { communities.contains(where: $0.matches) }) else { return false }
    }
    if !match.asPaths.isEmpty {
      let text = Array(edits.path(index).description.utf8)
      guard match.asPaths.contains(where: { $0.matches(text) }) else { return false }
    }
    return true
  }
}

/// A prefix list: found by cutting the prefix to each length that the list names.
struct PrefixMatcher {
  private struct Entry: Hashable {
    var key: PrefixKey
    var family: Family
  }

  private var ranges: [Entry: [ClosedRange<UInt8>]] = [:]
  private var lengths: [Set<UInt8>] = [[], []]

  init(_ list: [PrefixRange]) {
    for range in list {
      let family = Family(range.prefix.family)
      let bounds = max(range.ge, range.prefix.length)...max(range.le, range.ge, range.prefix.length)
      ranges[Entry(key: PrefixKey(range.prefix), family: family), default: []].append(bounds)
      lengths[Int(family.rawValue)].insert(range.prefix.length)
    }
  }

  func contains(_ key: PrefixKey, _ family: Family) -> Bool {
    for length in lengths[Int(family.rawValue)] where length <= key.length {
      if let bounds = ranges[Entry(key: key.cut(to: length), family: family)],
        bounds.contains(where: { $0.contains(key.length) })
      {
        return true
      }
    }
    return false
  }
}

extension PrefixKey {
  /// The covering prefix of this length.
  func cut(to length: UInt8) -> PrefixKey {
    PrefixKey(
      high: length == 0 ? 0 : length >= 64 ? high : high & UInt64.max << UInt64(64 - length),
      low: length <= 64 ? 0 : low & UInt64.max << UInt64(128 - length), length: length)
  }

  func covers(_ other: PrefixKey) -> Bool { other.length >= length && other.cut(to: length) == self }
}
