/// A regular expression over an AS path as text, e.g. `65001 65002 {65003,65004}`: POSIX extended syntax without back
/// references, `_` standing for a boundary (start, end, space, comma, bracket), as FRR has it.
///
/// Compiled to a small automaton that is run over the text in one pass with a set of states, so the time is bounded by
/// text times expression whatever either holds: there is nothing that backtracks.
public struct ASPathPattern: Hashable, Sendable {
  public let text: String
  private let program: [Instruction]

  /// One step of the automaton; numbers are positions in the program.
  enum Instruction: Hashable, Sendable {
    case octets(OctetSet)
    case start
    case end
    case split(Int, Int)
    case jump(Int)
    case match
  }

  /// Most instructions of one expression, repetitions written out.
  static let maximumSize = 20_000

  /// nil: not a valid expression.
  public init?(_ text: String) {
    self.text = text
    var parser = ASPathPatternParser(Array(text.utf8))
    guard let program = parser.program() else { return nil }
    self.program = program
  }

  public static func == (a: ASPathPattern, b: ASPathPattern) -> Bool { a.text == b.text }
  public func hash(into hasher: inout Hasher) { hasher.combine(text) }

  /// Whether the expression is found anywhere in the text of an AS path, given as its ASCII octets.
  public func matches(_ path: [UInt8]) -> Bool {
    var states = StateSet(program.count)
    var next = StateSet(program.count)
    var isStart = true
    for octet in path {
      if follow(0, &states, isStart: isStart, isEnd: false) { return true }
      next.removeAll()
      for state in states.list {
        if case .octets(let set) = program[state], set.contains(octet),
          follow(state + 1, &next, isStart: false, isEnd: false)
        {
          return true
        }
      }
      swap(&states, &next)
      isStart = false
    }
    // At the end, states that wait for it go on.
    next.removeAll()
    if follow(0, &next, isStart: isStart, isEnd: true) { return true }
    for state in states.list where follow(state, &next, isStart: isStart, isEnd: true) { return true }
    return false
  }

  /// Adds a state and all that it reaches without reading. true: a match.
  private func follow(_ state: Int, _ states: inout StateSet, isStart: Bool, isEnd: Bool) -> Bool {
    var pending = [state]
    while let state = pending.popLast() {
      guard states.insert(state) else { continue }
      switch program[state] {
      case .octets: break
      case .start: if isStart { pending.append(state + 1) }
      case .end: if isEnd { pending.append(state + 1) }
      case .jump(let target): pending.append(target)
      case .split(let first, let second):
        pending.append(first)
        pending.append(second)
      case .match: return true
      }
    }
    return false
  }
}

/// A set of ASCII characters; nothing else stands in an AS path.
struct OctetSet: Hashable, Sendable {
  private var low: UInt64 = 0
  private var high: UInt64 = 0

  init(_ octets: some Sequence<UInt8> = []) { for octet in octets { insert(octet) } }

  static let all = OctetSet(0...127)
  static let boundary = OctetSet(" ,{}()[]".utf8)

  mutating func insert(_ octet: UInt8) {
    if octet < 64 { low |= 1 << UInt64(octet) } else if octet < 128 { high |= 1 << UInt64(octet - 64) }
  }

  func contains(_ octet: UInt8) -> Bool {
    octet < 64 ? low >> UInt64(octet) & 1 == 1 : octet < 128 && high >> UInt64(octet - 64) & 1 == 1
  }

  var inverted: OctetSet {
    var result = self
    result.low = ~low
    result.high = ~high
    return result
  }
}

/// A set of positions that remembers the order of insertion.
private struct StateSet {
  private(set) var list: [Int] = []
  private var contains: [Bool]

  init(_ count: Int) { contains = Array(repeating: false, count: count) }

  mutating func insert(_ state: Int) -> Bool {
    if contains[state] { return false }
    contains[state] = true
    list.append(state)
    return true
  }

  mutating func removeAll() {
    for state in list { contains[state] = false }
    list.removeAll(keepingCapacity: true)
  }
}
