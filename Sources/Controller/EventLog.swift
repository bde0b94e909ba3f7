internal import ControlProtocol
internal import Foundation
internal import NorthboundAPI

/// What happened in the lab, newest last; the oldest go when `capacity` is reached. Also remembers which prefixes keep
/// changing, for the report of a lab that does not converge.
struct EventLog: Sendable {
  static let capacity = 10_000
  /// A prefix that changed this often since the last disturbance is reported as oscillating.
  static let oscillation = 6
  private static let trackedPrefixes = 4096

  private(set) var entries: [LabEvent] = []
  private(set) var newest: UInt64 = 0
  private var changes: [RouteKey: UInt64] = [:]

  private struct RouteKey: Hashable {
    var node: String
    var prefix: String
  }

  mutating func append(_ event: NLEvent, from node: String) {
    append(node: node, kind: event.kind, subject: event.subject, text: event.text, atNanoseconds: event.atNs)
    guard event.kind == "route" else { return }
    let key = RouteKey(node: node, prefix: event.subject)
    if changes[key] != nil || changes.count < Self.trackedPrefixes { changes[key, default: 0] += 1 }
  }

  mutating func append(node: String, kind: String, subject: String, text: String, atNanoseconds: UInt64? = nil) {
    newest += 1
    if entries.count >= Self.capacity { entries.removeFirst(Self.capacity / 10) }
    let at = atNanoseconds ?? UInt64(max(0, Date().timeIntervalSince1970 * 1e9))
    entries.append(
      LabEvent(number: newest, at: rfc3339(nanoseconds: at), node: node, kind: kind, subject: subject, text: text))
  }

  func after(_ number: UInt64) -> [LabEvent] {
    guard number < newest else { return [] }
    return Array(entries.suffix(Int(min(newest - number, UInt64(entries.count)))))
  }

  mutating func forgetChanges() { changes = [:] }

  /// "NODE: PREFIX keeps changing (12 times)", the busiest first.
  func oscillating(limit: Int) -> [String] {
    changes.filter { $0.value >= Self.oscillation }
      .sorted { ($1.value, $0.key.node, $0.key.prefix) < ($0.value, $1.key.node, $1.key.prefix) }
      .prefix(limit)
      .map { "\($0.key.node): \($0.key.prefix) is oscillating (changed \($0.value) times)" }
  }
}

/// RFC 3339 in UTC with nanoseconds.
func rfc3339(nanoseconds: UInt64) -> String {
  let seconds = Int64(nanoseconds / 1_000_000_000)
  let (year, month, day) = civilDate(daysSince1970: seconds / 86_400)
  let second = seconds % 86_400
  func digits(_ value: Int64, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }
  let date = "\(digits(year, 4))-\(digits(month, 2))-\(digits(day, 2))"
  let time = "\(digits(second / 3600, 2)):\(digits(second / 60 % 60, 2)):\(digits(second % 60, 2))"
  return "\(date)T\(time).\(digits(Int64(nanoseconds % 1_000_000_000), 9))Z"
}

/// RFC 3339 in UTC with milliseconds.
func rfc3339(milliseconds: Int64) -> String {
  String(rfc3339(nanoseconds: UInt64(max(0, milliseconds)) * 1_000_000).dropLast(7)) + "Z"
}

/// Gregorian date of a day number, counting years from March so that the leap day is the last of its year.
private func civilDate(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
  let shifted = days + 719_468
  let era = shifted / 146_097
  let dayOfEra = shifted % 146_097
  let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
  let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  let shiftedMonth = (5 * dayOfYear + 2) / 153
  let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
}
