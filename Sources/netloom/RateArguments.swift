import ArgumentParser

/// `20mbit`: a whole or decimal number and a unit of 1000, as in topology files.
struct RateArgument: ExpressibleByArgument {
  let bitsPerSecond: UInt64

  init?(argument: String) {
    let units: [(suffix: String, factor: Double)] = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9), ("bit", 1)]
    guard let unit = units.first(where: { argument.hasSuffix($0.suffix) }),
      let number = Double(argument.dropLast(unit.suffix.count)), number.isFinite, number > 0
    else { return nil }
    let bits = (number * unit.factor).rounded()
    guard bits >= 1, bits <= 1e12 else { return nil }
    bitsPerSecond = UInt64(bits)
  }
}

/// `ef`, `af11` to `af43`, `cs0` to `cs7`, `be`, or the number of the code point.
struct DSCPArgument: ExpressibleByArgument {
  let codePoint: UInt8

  init?(argument: String) {
    guard let value = Self.named(argument) ?? UInt8(argument), value < 64 else { return nil }
    codePoint = value
  }

  static let allValueStrings: [String] =
    ["be", "ef"] + (0...7).map { "cs\($0)" } + (1...4).flatMap { x in (1...3).map { "af\(x)\($0)" } }

  /// Class selectors are 8·n (RFC 2474), assured forwarding 8·class + 2·precedence (RFC 2597), EF is 46 (RFC 3246).
  private static func named(_ name: String) -> UInt8? {
    guard allValueStrings.contains(name) else { return nil }
    let digits = name.compactMap { $0.wholeNumberValue.map(UInt8.init) }
    switch (name.prefix(2), digits.count) {
    case ("be", 0): return 0
    case ("ef", 0): return 46
    case ("cs", 1): return digits[0] * 8
    default: return digits.count == 2 ? digits[0] * 8 + digits[1] * 2 : nil
    }
  }
}

/// `10mbit`, `2.5gbit`, `64kbit`: in the largest unit that leaves at least one.
func rateText(_ bitsPerSecond: UInt64) -> String {
  let units: [(name: String, factor: UInt64)] = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1000)]
  guard let unit = units.first(where: { bitsPerSecond >= $0.factor }) else { return "\(bitsPerSecond)bit" }
  if bitsPerSecond % unit.factor == 0 { return "\(bitsPerSecond / unit.factor)\(unit.name)" }
  return fixed(Double(bitsPerSecond) / Double(unit.factor), 2) + unit.name
}
