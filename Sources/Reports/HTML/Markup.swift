internal import Scenario

/// A piece of HTML or of SVG inside it. Text that is put into one is escaped by the type: only a `Markup` goes in as it is,
/// so that no name and no output of a command can become an element.
///
///     let cell: Markup = "<td>\(test.name)</td>"
struct Markup: ExpressibleByStringInterpolation, Sendable {
  private(set) var html: String

  init(stringLiteral value: String) { html = value }

  init(stringInterpolation: StringInterpolation) { html = stringInterpolation.html }

  /// Written by a part of the program that escapes by itself.
  init(trusted: String) { html = trusted }

  struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var html = ""

    init(literalCapacity: Int, interpolationCount: Int) { html.reserveCapacity(literalCapacity * 2) }

    mutating func appendLiteral(_ literal: String) { html += literal }
    mutating func appendInterpolation(_ text: some StringProtocol) { html += escapedXML(String(text)) }
    mutating func appendInterpolation(_ number: Int) { html += "\(number)" }
    mutating func appendInterpolation(_ markup: Markup) { html += markup.html }
    mutating func appendInterpolation(_ markup: Markup?) { html += markup?.html ?? "" }

    /// A coordinate: a tenth of a pixel is enough.
    mutating func appendInterpolation(px value: Double) { html += coordinate(value) }
  }

  static func + (a: Markup, b: Markup) -> Markup { Markup(trusted: a.html + b.html) }
  static func += (a: inout Markup, b: Markup) { a.html += b.html }
}

extension Sequence<Markup> {
  /// One after the other, a line each.
  func joined() -> Markup { Markup(trusted: map(\.html).joined(separator: "\n")) }
}

/// `12.5`, `12`
func coordinate(_ value: Double) -> String {
  let text = decimal(value, places: 1)
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}
