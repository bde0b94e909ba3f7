/// Expression text → program, by recursive descent: alternatives of sequences of repeated atoms.
struct ASPathPatternParser {
  private typealias Program = [ASPathPattern.Instruction]

  private let text: [UInt8]
  private var position = 0
  private var depth = 0

  init(_ text: [UInt8]) { self.text = text }

  mutating func program() -> [ASPathPattern.Instruction]? {
    guard text.count <= 4096, let program = alternatives(), position == text.count else { return nil }
    return program + [.match]
  }

  private var next: UInt8? { position < text.count ? text[position] : nil }

  private mutating func take(_ octet: Character) -> Bool {
    guard next == octet.asciiValue else { return false }
    position += 1
    return true
  }

  private mutating func alternatives() -> Program? {
    depth += 1
    defer { depth -= 1 }
    guard depth <= 64, var result = sequence() else { return nil }
    while take("|") {
      guard let other = sequence() else { return nil }
      result = Self.either(result, other)
    }
    return result.count <= ASPathPattern.maximumSize ? result : nil
  }

  private mutating func sequence() -> Program? {
    var result: Program = []
    while let octet = next, octet != UInt8(ascii: "|"), octet != UInt8(ascii: ")") {
      guard var part = atom(), repetition(&part) else { return nil }
      result = Self.joined(result, part)
      guard result.count <= ASPathPattern.maximumSize else { return nil }
    }
    return result
  }

  private mutating func atom() -> Program? {
    guard let octet = next else { return nil }
    position += 1
    switch octet {
    case UInt8(ascii: "("):
      guard let inner = alternatives(), take(")") else { return nil }
      return inner
    case UInt8(ascii: "["): return bracket()
    case UInt8(ascii: "."): return [.octets(.all)]
    case UInt8(ascii: "^"): return [.start]
    case UInt8(ascii: "$"): return [.end]
    case UInt8(ascii: "_"): return Self.either([.octets(.boundary)], Self.either([.start], [.end]))
    case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"): return nil
    case UInt8(ascii: "\\"):
      guard let escaped = next else { return nil }
      position += 1
      return [.octets(OctetSet([escaped]))]
    default: return [.octets(OctetSet([octet]))]
    }
  }

  private mutating func bracket() -> Program? {
    let isInverted = take("^")
    var set = OctetSet()
    var isFirst = true
    while let octet = next, isFirst || octet != UInt8(ascii: "]") {
      isFirst = false
      position += 1
      if next == UInt8(ascii: "-"), position + 1 < text.count, text[position + 1] != UInt8(ascii: "]") {
        let last = text[position + 1]
        guard octet <= last else { return nil }
        for member in octet...last { set.insert(member) }
        position += 2
      } else {
        set.insert(octet)
      }
    }
    guard take("]") else { return nil }
    return [.octets(isInverted ? set.inverted : set)]
  }

  /// `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`; a brace that does not begin a count is a character.
  private mutating func repetition(_ part: inout Program) -> Bool {
    while true {
      if take("*") {
        part = Self.star(part)
      } else if take("+") {
        part = Self.joined(part, Self.star(part))
      } else if take("?") {
        part = Self.either(part, [])
      } else if next == UInt8(ascii: "{"), let (least, most, end) = bounds() {
        position = end
        if let most, most < least { return false }
        guard (least + (most ?? least) + 1) * (part.count + 2) <= ASPathPattern.maximumSize else { return false }
        part = Self.repeated(part, least, most)
      } else {
        return part.count <= ASPathPattern.maximumSize
      }
    }
  }

  private func bounds() -> (least: Int, most: Int?, end: Int)? {
    guard let close = text[position...].firstIndex(of: UInt8(ascii: "}")), close - position <= 8 else { return nil }
    let inside = String(decoding: text[(position + 1)..<close], as: UTF8.self)
    let parts = inside.split(separator: ",", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), let least = Int(parts[0]), least >= 0 else { return nil }
    if parts.count == 1 { return (least, least, close + 1) }
    if parts[1].isEmpty { return (least, nil, close + 1) }
    guard let most = Int(parts[1]), most >= 0 else { return nil }
    return (least, most, close + 1)
  }

  // MARK: - Building programs; targets are relative to the program's start and moved when it is placed

  private static func moved(_ program: Program, by offset: Int) -> Program {
    program.map {
      switch $0 {
      case .split(let first, let second): .split(first + offset, second + offset)
      case .jump(let target): .jump(target + offset)
      default: $0
      }
    }
  }

  private static func joined(_ first: Program, _ second: Program) -> Program {
    first + moved(second, by: first.count)
  }

  private static func either(_ first: Program, _ second: Program) -> Program {
    let end = first.count + second.count + 2
    return [.split(1, first.count + 2)] + moved(first, by: 1) + [.jump(end)] + moved(second, by: first.count + 2)
  }

  private static func star(_ part: Program) -> Program {
    [.split(1, part.count + 2)] + moved(part, by: 1) + [.jump(0)]
  }

  private static func repeated(_ part: Program, _ least: Int, _ most: Int?) -> Program {
    var result: Program = []
    for _ in 0..<least { result = joined(result, part) }
    guard let most else { return joined(result, star(part)) }
    for _ in least..<most { result = joined(result, either(part, [])) }
    return result
  }
}
