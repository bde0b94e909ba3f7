/// Milliseconds since 1970, in UTC.
struct Moment: Comparable {
  var milliseconds: Double

  init(_ milliseconds: Double) { self.milliseconds = milliseconds }

  static func < (a: Moment, b: Moment) -> Bool { a.milliseconds < b.milliseconds }

  /// RFC 3339 section 5.6, with any number of digits of a second. Nil: it is something else.
  init?(rfc3339 text: String) {
    let bytes = Array(text.utf8)
    guard bytes.count >= 20, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
      bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":")
    else { return nil }
    func number(_ range: Range<Int>) -> Int? {
      range.reduce(Int?.some(0)) { value, index in
        guard let value, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[index]) else { return nil }
        return value * 10 + Int(bytes[index] - UInt8(ascii: "0"))
      }
    }
    guard let year = number(0..<4), let month = number(5..<7), (1...12).contains(month), let day = number(8..<10),
      let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19)
    else { return nil }
    var end = 19
    var fraction = 0.0
    if bytes[19] == UInt8(ascii: ".") {
      end = bytes[20...].firstIndex { !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? bytes.count
      fraction = Double("0." + String(decoding: bytes[20..<end], as: UTF8.self)) ?? 0
    }
    guard let offset = Self.offset(String(decoding: bytes[end...], as: UTF8.self)) else { return nil }
    let days = Self.days(year: year, month: month, day: day)
    let seconds = days * 86_400 + hour * 3600 + (minute - offset) * 60 + second
    milliseconds = Double(seconds) * 1000 + fraction * 1000
  }

  /// Minutes east of Greenwich.
  private static func offset(_ text: String) -> Int? {
    if text == "Z" || text == "z" { return 0 }
    let parts = text.dropFirst().split(separator: ":")
    guard let sign = text.first, sign == "+" || sign == "-", parts.count == 2, let hours = Int(parts[0]),
      let minutes = Int(parts[1])
    else { return nil }
    return (sign == "-" ? -1 : 1) * (hours * 60 + minutes)
  }

  /// Days from 1970-01-01 in the Gregorian calendar. Years begin in March here, so that a leap day is the last.
  private static func days(year: Int, month: Int, day: Int) -> Int {
    let year = month <= 2 ? year - 1 : year
    let era = (year >= 0 ? year : year - 399) / 400
    let ofEra = year - era * 400
    let ofYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
  }

  /// `2026-03-01 12:00:07 UTC`
  var text: String {
    let seconds = Int((milliseconds / 1000).rounded(.down))
    let (day, rest) = (seconds / 86_400, seconds % 86_400)
    let shifted = day + 719_468
    let era = shifted / 146_097
    let ofEra = shifted - era * 146_097
    let year = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
    let ofYear = ofEra - (365 * year + year / 4 - year / 100)
    let month = (5 * ofYear + 2) / 153
    let dayOfMonth = ofYear - (153 * month + 2) / 5 + 1
    let civil = month < 10 ? month + 3 : month - 9
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "\(year + era * 400 + (civil <= 2 ? 1 : 0))-\(two(civil))-\(two(dayOfMonth)) "
      + "\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60)) UTC"
  }
}
