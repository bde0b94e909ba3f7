/// Seconds of a time with its unit, hours and days too.
func parseLongTime(_ text: String) -> Double? {
  for (suffix, seconds) in [("h", 3600.0), ("d", 86400)] where text.hasSuffix(suffix) {
    let digits = text.dropLast()
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }), let value = UInt32(digits) else {
      return nil
    }
    return Double(value) * seconds
  }
  return parseTime(text).map { Double($0) / 1e6 }
}

/// `>= 99.5%`, `<= 200ms`, `<= 1s`
func parseThreshold(_ text: String) -> PipelineThreshold? {
  guard let bound = PipelineThreshold.Bound(rawValue: String(text.prefix(2))) else { return nil }
  let value = text.dropFirst(2).drop { $0 == " " }
  if value.hasSuffix("%") {
    return parsePartsPerMillion(String(value)).map { PipelineThreshold(bound, Double($0) / 10_000, .percent) }
  }
  return parseTime(value).map { PipelineThreshold(bound, Double($0) / 1000, .milliseconds) }
}

/// `100/s`
func parseRequestRate(_ text: String) -> Int? {
  guard text.hasSuffix("/s"), let rate = Int(text.dropLast(2)), (1...10_000).contains(rate) else { return nil }
  return rate
}

/// `2x`, `1.5x`
func parseFactor(_ text: String) -> Double? {
  guard text.hasSuffix("x"), text.utf8.dropLast().allSatisfy({ (48...57).contains($0) || $0 == 46 }),
    let value = Double(text.dropLast()), value >= 1, value <= 1000
  else { return nil }
  return value
}

extension ScalarForm {
  static let longTime = ScalarForm(
    "a time with its unit `ms`, `s`, `m`, `h` or `d`, such as 30m", schema: .text("^[0-9]+(us|ms|s|m|h|d)$")
  ) { text in
    if let seconds = parseLongTime(text), seconds > 0 { return nil }
    return text.utf8.allSatisfy { (48...57).contains($0) } && !text.isEmpty ? .because("the unit is missing") : .plain
  }

  /// As `longTime`, at most so many hours.
  static func time(hours: Int) -> ScalarForm {
    let most = "\(hours)h"
    return ScalarForm(
      "a time with its unit `ms`, `s`, `m` or `h`, at most \(most)", schema: .text("^[0-9]+(us|ms|s|m|h|d)$")
    ) { text in
      if let problem = longTime.check(text) { return problem }
      guard let seconds = parseLongTime(text), seconds <= Double(hours) * 3600 else {
        return .because("it is longer than \(most)")
      }
      return nil
    }
  }

  /// A threshold; the example says which bound and unit make sense.
  static func threshold(_ example: String) -> ScalarForm {
    let percent = example.hasSuffix("%")
    let bound = String(example.prefix(2))
    let unit = percent ? "[0-9]+(\\.[0-9]+)?%" : "[0-9]+(us|ms|s|m)"
    return ScalarForm(
      "a threshold such as \"\(example)\"", schema: .text("^\(bound) *\(unit)$")
    ) { text in
      guard let threshold = parseThreshold(text) else {
        return text.hasPrefix(bound) ? .plain : .because("it does not begin with `\(bound)`")
      }
      if threshold.bound.rawValue != bound { return .because("it does not begin with `\(bound)`") }
      return (threshold.unit == .percent) == percent ? nil : .because("the unit is another one")
    }
  }

  static let requestRate = parsed(
    "requests per second from 1/s to 10000/s, such as 100/s", schema: .text("^[0-9]+/s$"), parseRequestRate)

  static let factor = parsed(
    "a factor from 1x to 1000x, such as 2x", schema: .text("^[0-9]+(\\.[0-9]+)?x$"), parseFactor)

  /// Relative, without a way out of the folder that it is relative to.
  static let insidePath = ScalarForm(
    "a relative path that does not leave its folder", schema: .text("^[^/].*$")
  ) { text in
    if text.hasPrefix("/") { return .because("it is absolute") }
    if text.split(separator: "/").contains("..") { return .because("`..` leaves it") }
    return text.isEmpty ? .plain : nil
  }

  static let absolutePath = ScalarForm("an absolute path in the image", schema: .text("^/.+$")) { text in
    if !text.hasPrefix("/") || text.count < 2 { return .plain }
    return text.split(separator: "/").contains("..") ? .because("`..` has no place in it") : nil
  }

  static let webAddress = ScalarForm(
    "an address that begins with http:// or https://", schema: .text("^https?://[^\\s]+$")
  ) { text in
    let rest = text.hasPrefix("http://") ? text.dropFirst(7) : text.hasPrefix("https://") ? text.dropFirst(8) : ""
    return rest.isEmpty || rest.hasPrefix("/") || text.contains(where: \.isWhitespace) ? .plain : nil
  }

  /// What git-check-ref-format(1) allows, as far as it can hurt: no option, no range, no white space.
  static let gitRef = ScalarForm(
    "a branch, tag or commit", schema: .text("^[^-\\s~^:?*\\[\\\\][^\\s~^:?*\\[\\\\]*$", maxLength: 255)
  ) { text in
    if text.hasPrefix("-") { return .because("it begins with a hyphen") }
    let bad =
      text.contains { $0.isWhitespace || "~^:?*[\\".contains($0) } || text.contains("..") || text.hasSuffix(".lock")
    return text.isEmpty || bad || text.utf8.count > 255 ? .plain : nil
  }

  /// A repository name as the OCI distribution specification has it (section "Pulling manifests").
  static let imageName = ScalarForm(
    "an image name of lower-case letters, digits and `.`, `_`, `-`, `/` between them",
    schema: .text("^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$", maxLength: 128)
  ) { text in
    let isPlain = { (byte: UInt8) in (97...122).contains(byte) || (48...57).contains(byte) }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    let fine = parts.allSatisfy { part in
      guard let first = part.utf8.first, let last = part.utf8.last else { return false }
      return isPlain(first) && isPlain(last) && part.utf8.allSatisfy { isPlain($0) || "._-".utf8.contains($0) }
    }
    if fine, text.utf8.count <= 128 { return nil }
    return text.contains(":") || text.contains("@") ? .because("the tag and the digest come by themselves") : .plain
  }

  static let registry = ScalarForm(
    "`NODE:PORT`, such as registry:5000", schema: .text("^\(nodeNamePattern):[0-9]{1,5}$")
  ) { text in
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, name.check(String(parts[0])) == nil, let port = UInt16(parts[1]), port > 0 else {
      return parts.count == 1 ? .because("the port is missing") : .plain
    }
    return nil
  }
}
