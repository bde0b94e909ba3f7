import NetTypes

// Scalars of `nat`, `filter`, `qos`, `path`, `flowspec` and `publish`.

/// `10mbit`, `1.5mbit`: bit/s, decimal as networks count.
func parseRate(_ text: String) -> UInt64? {
  guard let (value, unit) = splitUnit(text), let factor = rateUnits[unit] else { return nil }
  let bits = (value * factor).rounded()
  return rateLimits.contains(bits) ? UInt64(bits) : nil
}

private let rateUnits: [Substring: Double] = ["bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9]
private let rateLimits = 1e3...4e11

/// `64kb`, `1500b`: bytes, in powers of 1024 as tc and nft count.
func parseSize(_ text: String) -> UInt32? {
  guard let (value, unit) = splitUnit(text), let factor = sizeUnits[unit] else { return nil }
  let bytes = (value * factor).rounded()
  return (1...1e9).contains(bytes) ? UInt32(bytes) : nil
}

private let sizeUnits: [Substring: Double] = ["b": 1, "kb": 1024, "mb": 1_048_576]

/// A plain decimal number and what stands behind it.
private func splitUnit(_ text: String) -> (value: Double, unit: Substring)? {
  let digits = text.prefix { $0.isASCII && $0.isNumber || $0 == "." }
  guard digits.utf8.count <= 18, let first = digits.utf8.first, (48...57).contains(first),
    digits.last?.isNumber == true, let value = Double(digits)
  else { return nil }
  return (value, text[digits.endIndex...])
}

/// `80`, `80-90`.
func parsePorts(_ text: String) -> ClosedRange<UInt16>? {
  guard let range = parseNumbers(text), range.lowerBound > 0 else { return nil }
  return range
}

/// `64`, `64-128`, from 0.
func parseNumbers(_ text: String) -> ClosedRange<UInt16>? {
  let parts = text.split(separator: "-", omittingEmptySubsequences: false)
  let numbers = parts.compactMap { part in
    part.utf8.allSatisfy { (48...57).contains($0) } ? UInt16(part) : nil
  }
  guard numbers.count == parts.count, let first = numbers.first, let last = numbers.last, numbers.count <= 2,
    first <= last
  else { return nil }
  return first...last
}

/// Code points by name: RFC 2474 (cs), 2597 (af), 3246 (ef).
let dscpNames: [(name: String, value: UInt8)] =
  [("be", 0), ("ef", 46)] + (0...7).map { ("cs\($0)", UInt8($0 * 8)) }
  + (1...4).flatMap { high in (1...3).map { ("af\(high)\($0)", UInt8(high * 8 + $0 * 2)) } }

func parseDSCP(_ text: String) -> UInt8? {
  if let known = dscpNames.first(where: { $0.name == text }) { return known.value }
  guard text.utf8.allSatisfy({ (48...57).contains($0) }), let value = UInt8(text), value < 64 else { return nil }
  return value
}

/// One address, `A-B`, or every address of a prefix.
func parsePool(_ text: String) -> ClosedRange<IPAddress>? {
  if let address = IPAddress(text) { return address...address }
  if let prefix = IPPrefix(text) {
    return prefix.address...IPAddress(number: prefix.range.upperBound, family: prefix.family)
  }
  let parts = text.split(separator: "-", omittingEmptySubsequences: false)
  guard parts.count == 2, let first = IPAddress(parts[0]), let last = IPAddress(parts[1]),
    first.family == last.family, first <= last
  else { return nil }
  return first...last
}

/// Where a port is forwarded to: `ADDRESS`, `ADDRESS:PORT`, `ADDRESS:PORT-PORT`, `[IPV6]:PORT`, or a pool of addresses.
struct ForwardTarget: Equatable {
  var addresses: ClosedRange<IPAddress>
  var ports: ClosedRange<UInt16>?

  init?(_ text: String) {
    if let addresses = parsePool(text) {
      self.addresses = addresses
      return
    }
    let address: Substring
    let rest: Substring
    if text.hasPrefix("["), let close = text.firstIndex(of: "]") {
      address = text[text.index(after: text.startIndex)..<close]
      rest = text[text.index(after: close)...]
      guard IPv6Address(address) != nil else { return nil }
    } else {
      let colon = text.firstIndex(of: ":") ?? text.endIndex
      (address, rest) = (text[..<colon], text[colon...])
    }
    guard let one = IPAddress(address) else { return nil }
    addresses = one...one
    if rest.isEmpty { return }
    guard rest.hasPrefix(":"), let ports = parsePorts(String(rest.dropFirst())) else { return nil }
    self.ports = ports
  }
}

/// `8080:80`
func parsePublished(_ text: String) -> (outer: UInt16, inner: UInt16)? {
  let parts = text.split(separator: ":", omittingEmptySubsequences: false)
  guard parts.count == 2, let outer = parsePorts(String(parts[0])), let inner = parsePorts(String(parts[1])),
    outer.count == 1, inner.count == 1
  else { return nil }
  return (outer.lowerBound, inner.lowerBound)
}

/// Bits of the TCP header's flags, from the lowest.
let tcpFlagNames = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"]

extension ScalarForm {
  private static let addressCharacters = "[0-9a-fA-F:.]+"

  static let rate = ScalarForm(
    "a rate from 1kbit to 400gbit, such as 10mbit",
    schema: .text("^[0-9]+(\\.[0-9]+)?(bit|kbit|mbit|gbit)$")
  ) { text in
    if parseRate(text) != nil { return nil }
    guard let (_, unit) = splitUnit(text) else { return .plain }
    let number = text.dropLast(unit.count)
    switch unit.drop(while: { $0 == " " }).lowercased() {
    case "": return .because("the unit is missing")
    case "bps", "b/s", "bit/s": return .because("did you mean `\(number)bit`?")
    case "k", "kbit", "kbps", "kb/s", "kbit/s", "kbits": return .because("did you mean `\(number)kbit`?")
    case "m", "mbit", "mbps", "mb/s", "mbit/s", "mbits": return .because("did you mean `\(number)mbit`?")
    case "g", "gbit", "gbps", "gb/s", "gbit/s", "gbits": return .because("did you mean `\(number)gbit`?")
    default: return .plain
    }
  }

  static let size = ScalarForm(
    "a size in bytes such as 1500b, 64kb or 1mb", schema: .text("^[0-9]+(\\.[0-9]+)?(b|kb|mb)$")
  ) { text in
    if parseSize(text) != nil { return nil }
    guard let (_, unit) = splitUnit(text) else { return .plain }
    let number = text.dropLast(unit.count)
    switch unit.drop(while: { $0 == " " }).lowercased() {
    case "": return .because("the unit is missing")
    case "k", "kb", "kib": return .because("did you mean `\(number)kb`?")
    case "m", "mb", "mib": return .because("did you mean `\(number)mb`?")
    default: return .plain
    }
  }

  static let ports = ScalarForm(
    "a port from 1 to 65535, or a range such as 8000-8080",
    schema: .anyOf([.integer(1...65535), .text("^[0-9]{1,5}-[0-9]{1,5}$")])
  ) { text in
    if parsePorts(text) != nil { return nil }
    let parts = text.split(separator: "-").compactMap { UInt16($0) }
    return parts.count == 2 && parts[0] > parts[1] ? .because("the range runs backwards") : .plain
  }

  /// A set of numbers of a header field.
  static func numbers(_ range: ClosedRange<Int>) -> ScalarForm {
    ScalarForm(
      "a number from \(range.lowerBound) to \(range.upperBound), or a range such as 64-128",
      schema: .anyOf([.integer(range), .text("^[0-9]{1,5}-[0-9]{1,5}$")])
    ) { text in
      guard let numbers = parseNumbers(text) else { return .plain }
      return range.contains(Int(numbers.upperBound)) ? nil : .plain
    }
  }

  static let dscp = ScalarForm(
    "a DSCP: ef, cs0 to cs7, af11 to af43, be, or a number from 0 to 63",
    schema: .anyOf([.words(dscpNames.map(\.name)), .integer(0...63)])
  ) { text in
    if parseDSCP(text) != nil { return nil }
    return parseDSCP(text.lowercased()) == nil ? .plain : .because("did you mean `\(text.lowercased())`?")
  }

  static let pool = ScalarForm(
    "an address, a pool such as 203.0.113.10-203.0.113.20, or a prefix",
    schema: .text("^\(addressCharacters)(-\(addressCharacters)|/[0-9]{1,3})?$")
  ) { text in
    if parsePool(text) != nil { return nil }
    if text.contains("/") { return prefix.check(text) }
    let ends = text.split(separator: "-").compactMap { IPAddress($0) }
    guard ends.count == 2 else { return .plain }
    return .because(ends[0].family == ends[1].family ? "the pool runs backwards" : "the pool mixes two families")
  }

  static let forwardTarget = ScalarForm(
    "`ADDRESS`, `ADDRESS:PORT`, `ADDRESS:PORT-PORT` or `[IPV6]:PORT`",
    schema: .text("^\\[?\(addressCharacters)(\\]|-|/)?[0-9a-fA-F:.-]*$")
  ) { ForwardTarget($0) == nil ? .plain : nil }

  static let published = ScalarForm(
    "two ports, the machine's and the node's, such as \"8080:80\"", schema: .text("^[0-9]{1,5}:[0-9]{1,5}$")
  ) { text in
    if parsePublished(text) != nil { return nil }
    return !text.contains(":") && parsePorts(text) != nil ? .because("the port of the node is missing") : .plain
  }

  /// IP protocols of a flow specification: the three by name, any by number.
  static let protocolNumber = word(TransportProtocol.allCases.map(\.rawValue)).or(integer(0...255))

  static let className = ScalarForm(
    "a name of letters, digits, `-` and `_`, at most 32", schema: .text("^[A-Za-z0-9_-]+$", maxLength: 32)
  ) { text in
    if text == "default" { return .because("what no class matches has this name") }
    return text.utf8.count <= 32 && policyName.check(text) == nil ? nil : .plain
  }

  static let decimal = ScalarForm(
    "a number such as 9.5", schema: .anyOf([.integer(0...1_000_000), .fraction, .text("^[0-9]+(\\.[0-9]+)?$")])
  ) { text in
    guard let (value, unit) = splitUnit(text), unit.isEmpty, value <= 1e6 else { return .plain }
    return nil
  }
}
