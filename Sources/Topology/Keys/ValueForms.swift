import NetTypes

/// A time with its unit, in microseconds.
func parseTime(_ text: some StringProtocol) -> UInt64? {
  let digits = text.prefix { $0.isASCII && $0.isNumber }
  guard let value = UInt64(digits), value < 1 << 38 else { return nil }
  switch text[digits.endIndex...] {
  case "us": return value
  case "ms": return value * 1000
  case "s": return value * 1_000_000
  case "m": return value * 60_000_000
  default: return nil
  }
}

/// `0.1%`: of 1,000,000.
func parsePartsPerMillion(_ text: String) -> UInt32? {
  guard text.hasSuffix("%") else { return nil }
  let digits = text.dropLast()
  guard let first = digits.utf8.first, let last = digits.utf8.last, (48...57).contains(first), (48...57).contains(last),
    digits.utf8.count <= 18, digits.utf8.allSatisfy({ (48...57).contains($0) || $0 == 46 }), let value = Double(digits)
  else { return nil }
  let parts = value * 10_000
  guard parts <= 1_000_000, abs(parts - parts.rounded()) < 1e-6 else { return nil }
  return UInt32(parts.rounded())
}

/// Microseconds of a delay or jitter; `0` needs no unit.
func parseDelay(_ text: String) -> UInt32? {
  guard let time = text == "0" ? 0 : parseTime(text), time <= FaultLimits.delayMicroseconds.upperBound else {
    return nil
  }
  return UInt32(time)
}

/// Whole seconds: a number, or a time that is one.
func parseSeconds(_ text: String) -> UInt32? {
  if let seconds = UInt32(text) { return seconds <= 65535 ? seconds : nil }
  guard let time = parseTime(text), time % 1_000_000 == 0, time / 1_000_000 <= 65535 else { return nil }
  return UInt32(time / 1_000_000)
}

/// Milliseconds from a number of seconds or a time.
func parseMilliseconds(_ text: String) -> UInt32? {
  if let seconds = UInt32(text) { return seconds <= 65535 ? seconds * 1000 : nil }
  guard let time = parseTime(text), time % 1000 == 0 else { return nil }
  return UInt32(exactly: time / 1000)
}

/// `10.0.0.0/8`, `10.0.0.0/8 le 24`, `10.0.0.0/8 ge 16 le 24`.
func parsePrefixRange(_ text: String) -> PrefixRange? {
  let words = text.split(separator: " ")
  guard let first = words.first, let prefix = IPPrefix(first), words.count % 2 == 1, words.count <= 5 else {
    return nil
  }
  var ge: UInt8?
  var le: UInt8?
  for index in stride(from: 1, to: words.count, by: 2) {
    guard let length = UInt8(words[index + 1]) else { return nil }
    switch words[index] {
    case "ge" where ge == nil: ge = length
    case "le" where le == nil: le = length
    default: return nil
    }
  }
  let low = ge ?? prefix.length
  let high = le ?? (ge == nil ? prefix.length : UInt8(prefix.family.bits))
  guard prefix.length <= low, low <= high, Int(high) <= prefix.family.bits else { return nil }
  return PrefixRange(prefix: prefix, ge: low, le: high)
}

/// Well-known communities by name: RFC 1997, 3765, 7999, 8326.
let wellKnownCommunities: [(name: String, value: UInt32)] = [
  ("no-export", 0xFFFF_FF01), ("no-advertise", 0xFFFF_FF02), ("no-export-subconfed", 0xFFFF_FF03),
  ("no-peer", 0xFFFF_FF04), ("blackhole", 0xFFFF_029A), ("graceful-shutdown", 0xFFFF_0000),
]

func parseCommunity(_ text: String) -> CommunityPattern? {
  if let known = wellKnownCommunities.first(where: { $0.name == text }) {
    return CommunityPattern(high: UInt16(known.value >> 16), low: UInt16(known.value & 0xFFFF))
  }
  guard let parts = parseParts(text, count: 2, as: UInt16.self) else { return nil }
  return CommunityPattern(high: parts[0], low: parts[1])
}

func parseLargeCommunity(_ text: String) -> LargeCommunityPattern? {
  guard let parts = parseParts(text, count: 3, as: UInt32.self) else { return nil }
  return LargeCommunityPattern(global: parts[0], data1: parts[1], data2: parts[2])
}

/// Numbers between colons; `*` is nil.
private func parseParts<Number: FixedWidthInteger>(_ text: String, count: Int, as: Number.Type) -> [Number?]? {
  let parts = text.split(separator: ":", omittingEmptySubsequences: false)
  guard parts.count == count else { return nil }
  var numbers: [Number?] = []
  for part in parts {
    if part == "*" {
      numbers.append(nil)
    } else {
      guard !part.isEmpty, part.utf8.allSatisfy({ (48...57).contains($0) }), let number = Number(part) else {
        return nil
      }
      numbers.append(number)
    }
  }
  return numbers
}

extension ScalarForm {
  static let time = ScalarForm(
    "a time with its unit `us`, `ms`, `s` or `m`, such as 2s", schema: .text("^[0-9]+(us|ms|s|m)$")
  ) { text in
    parseTime(text) == nil ? unitProblem(text) : nil
  }

  static let delay = ScalarForm(
    "a time from 0 to 10s with its unit `us`, `ms` or `s`, such as 20ms",
    schema: .anyOf([.text("^[0-9]+(us|ms|s)$"), .words(["0"])])
  ) { text in
    if parseDelay(text) != nil { return nil }
    return parseTime(text) == nil ? unitProblem(text) : .plain
  }

  /// See `CollectorURL`.
  static let collector = ScalarForm.parsed(
    "http://HOST:PORT, such as http://collector:4318", schema: .text("^http://[^/]+:[0-9]+(/.*)?$")
  ) { CollectorURL($0) }

  static let percent = ScalarForm(
    "a percentage from 0% to 100% with at most 4 decimals, such as 0.1%", schema: .text("^[0-9]+(\\.[0-9]+)?%$")
  ) { text in
    if parsePartsPerMillion(text) != nil { return nil }
    return Double(text) == nil ? .plain : .because("the `%` is missing")
  }

  static let seconds = ScalarForm(
    "whole seconds from 0 to 65535", schema: .anyOf([.integer(0...65535), .text("^[0-9]+(s|m)$")])
  ) { text in
    if parseSeconds(text) != nil { return nil }
    return UInt64(text) != nil || parseTime(text) != nil ? .plain : unitProblem(text)
  }

  static let milliseconds = ScalarForm(
    "seconds, or a time of whole milliseconds such as 500ms",
    schema: .anyOf([.integer(0...65535), .text("^[0-9]+(ms|s|m)$")])
  ) { text in
    if parseMilliseconds(text) != nil { return nil }
    return UInt64(text) != nil || parseTime(text) != nil ? .plain : unitProblem(text)
  }

  private static func unitProblem(_ text: String) -> Problem {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard !digits.isEmpty else { return .plain }
    switch text[digits.endIndex...].drop(while: { $0 == " " }).lowercased() {
    case "": return .because("the unit is missing")
    case "s", "sec", "secs", "second", "seconds": return .because("did you mean `\(digits)s`?")
    case "ms", "msec", "millis", "milliseconds": return .because("did you mean `\(digits)ms`?")
    case "m", "min", "mins", "minute", "minutes": return .because("did you mean `\(digits)m`?")
    case "us", "usec", "µs", "microseconds": return .because("did you mean `\(digits)us`?")
    default: return .plain
    }
  }

  static let prefixRange = ScalarForm(
    "a prefix, with `ge` and `le` where lengths may differ: \"10.0.0.0/8 le 24\"",
    schema: .text("^[0-9a-fA-F:.]+/[0-9]{1,3}( +(ge|le) +[0-9]{1,3}){0,2}$")
  ) { text in
    if parsePrefixRange(text) != nil { return nil }
    let words = text.split(separator: " ")
    guard let first = words.first else { return .plain }
    if let problem = prefix.check(String(first)) { return problem }
    return words.count % 2 == 1 && words.count > 1 ? .because("lengths must rise: prefix, ge, le") : .plain
  }

  private static let communityNames = wellKnownCommunities.map(\.name)

  /// A community with `*` for any part.
  static let communityPattern = ScalarForm(
    "a community such as 65001:100, `*` for any part, or \(communityNames.joined(separator: ", "))",
    schema: .anyOf([
      .text("^([0-9]{1,5}|\\*):([0-9]{1,5}|\\*)$"), .integer(0...4_294_967_295), .words(communityNames),
    ])
  ) { parseCommunity($0) == nil ? communityProblem($0) : nil }

  static let community = ScalarForm(
    "a community such as 65001:100, or \(communityNames.joined(separator: ", "))",
    schema: .anyOf([.text("^[0-9]{1,5}:[0-9]{1,5}$"), .integer(0...4_294_967_295), .words(communityNames)])
  ) { text in
    guard let value = parseCommunity(text) else { return communityProblem(text) }
    return value.high == nil || value.low == nil ? .because("a wildcard matches, it cannot be set") : nil
  }

  private static func communityProblem(_ text: String) -> Problem {
    let parts = text.split(separator: ":")
    if parts.count == 3 { return .because("three parts make a large-community") }
    return parts.count == 2 && parts.allSatisfy({ UInt64($0) != nil }) ? .because("a part is at most 65535") : .plain
  }

  static let largeCommunityPattern = parsed(
    "a large community such as 65001:1:2, `*` for any part",
    schema: .anyOf([
      .text("^([0-9]{1,10}|\\*):([0-9]{1,10}|\\*):([0-9]{1,10}|\\*)$"), .integer(0...Int.max),
    ]),
    parseLargeCommunity)

  static let largeCommunity = ScalarForm(
    "a large community such as 65001:1:2",
    schema: .anyOf([.text("^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$"), .integer(0...Int.max)])
  ) { text in
    guard let value = parseLargeCommunity(text) else { return .plain }
    return value.global == nil || value.data1 == nil || value.data2 == nil
      ? .because("a wildcard matches, it cannot be set") : nil
  }

  static let asPathPattern = ScalarForm(
    "a regular expression over AS numbers as FRR writes them, `_` a boundary: \"^65001_\"", schema: .scalar
  ) { text in
    guard !text.isEmpty, text.utf8.allSatisfy({ allowedInASPath.contains($0) }) else { return .plain }
    if ASPathPattern(text) != nil { return nil }
    return unclosed(text).map { .because($0) } ?? .because("not a valid expression")
  }

  /// What is wrong with the brackets, the most usual mistake.
  private static func unclosed(_ text: String) -> String? {
    var open: [Character] = []
    for character in text {
      switch character {
      case "[" where open.last != "[": open.append("[")
      case "(" where open.last != "[": open.append("(")
      case "]" where open.last == "[": open.removeLast()
      case ")" where open.last != "[":
        guard open.popLast() == "(" else { return "`)` without `(`" }
      default: break
      }
    }
    return open.last.map { "`\($0)` is not closed" }
  }

  private static let allowedInASPath = Set("0123456789_^$.*+?()[]|-{}, \\".utf8)
}
