import ArgumentParser
import Scenario

/// `500ms`, `60s`, `2m`: a whole or decimal number and a unit, as in topology files.
struct TimeArgument: ExpressibleByArgument {
  let duration: Duration

  init?(argument: String) {
    let units: [(suffix: String, seconds: Double)] = [("us", 1e-6), ("ms", 1e-3), ("s", 1), ("m", 60)]
    guard let unit = units.first(where: { argument.hasSuffix($0.suffix) }),
      let number = Double(argument.dropLast(unit.suffix.count)), number.isFinite, number >= 0
    else { return nil }
    let seconds = number * unit.seconds
    guard seconds <= 366 * 86400 else { return nil }
    duration = .nanoseconds(Int64(seconds * 1e9))
  }

  var defaultValueDescription: String { "\(duration.components.seconds)s" }
}

extension Duration {
  var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

/// A number with so many decimals, whatever the locale; `-` where there is none.
func fixed(_ value: Double, _ places: Int) -> String { value.isFinite ? decimal(value, places: places) : "-" }

/// `340 ms`, `1.27 s`, `4m 10s`, `3h 12m`
func spoken(seconds: Double) -> String {
  if seconds < 1 { return "\(fixed(seconds * 1000, 0)) ms" }
  return seconds < 60 ? "\(fixed(seconds, 2)) s" : spoken(wholeSeconds: Int(seconds))
}

/// `12 s`, `4m 10s`, `3h 12m`
func spoken(wholeSeconds seconds: Int) -> String {
  if seconds < 60 { return "\(seconds) s" }
  return seconds < 3600 ? "\(seconds / 60)m \(seconds % 60)s" : "\(seconds / 3600)h \(seconds % 3600 / 60)m"
}
