// Which rule is for a request: the rules of a service in order, the first that matches. Regular expressions are compiled
// once per configuration.
import HTTP1
import Mesh

/// A rule's conditions, ready to be tried.
final class RouteMatcher {
  private enum Text {
    case exact(String)
    case expression(TextPattern)
    case present
    case never

    init(_ text: RequestMatch.Text) {
      switch text {
      case .exact(let value): self = .exact(value)
      case .present: self = .present
      case .expression(let expression): self = TextPattern(expression).map(Text.expression) ?? .never
      }
    }

    func matches(_ value: String?) -> Bool {
      guard let value else { return false }
      return switch self {
      case .exact(let wanted): value == wanted
      case .expression(let pattern): pattern.matches(value)
      case .present: true
      case .never: false
      }
    }
  }

  private struct Conditions {
    let source: RequestMatch
    let pattern: TextPattern?
    let headers: [(name: String, value: Text)]
    let query: [(name: String, value: Text)]

    init(_ match: RequestMatch) {
      source = match
      if case .expression(let expression) = match.path { pattern = TextPattern(expression) } else { pattern = nil }
      headers = match.headers.map { ($0.name, Text($0.value)) }
      query = match.query.map { ($0.name, Text($0.value)) }
    }
  }

  private let conditions: [Conditions]

  init(_ rule: RouteRule) { conditions = rule.matches.map(Conditions.init) }

  /// The match that holds, as far as it is of interest: the prefix that matched ("" for another kind of match).
  func match(_ head: RequestHead) -> (matches: Bool, prefix: String) {
    if conditions.isEmpty { return (true, "/") }
    for condition in conditions where holds(condition, head) {
      return switch condition.source.path {
      case .prefix(let prefix), .textPrefix(let prefix): (true, prefix)
      case nil: (true, "/")
      default: (true, "")
      }
    }
    return (false, "")
  }

  private func holds(_ condition: Conditions, _ head: RequestHead) -> Bool {
    if let method = condition.source.method, !head.methodBytes.elementsEqual(method.utf8) { return false }
    guard pathHolds(condition, head.path) else { return false }
    for (name, value) in condition.headers where !value.matches(head.fields.combined(name)) { return false }
    if condition.query.isEmpty { return true }
    let parameters = RouteMatcher.parameters(head.query)
    for (name, value) in condition.query {
      guard value.matches(parameters.first { $0.name == name }?.value) else { return false }
    }
    return true
  }

  private func pathHolds(_ condition: Conditions, _ path: ArraySlice<UInt8>) -> Bool {
    switch condition.source.path {
    case nil: true
    case .exact(let wanted): path.elementsEqual(wanted.utf8)
    case .textPrefix(let prefix): path.starts(with: prefix.utf8)
    case .prefix(let prefix): RouteMatcher.isSegmentPrefix(prefix, of: path)
    case .expression: condition.pattern?.matches(String(decoding: path, as: UTF8.self)) ?? false
    }
  }

  /// `/a` and `/a/` are prefixes of `/a` and `/a/b`, not of `/ab` (Gateway API, PathPrefix).
  static func isSegmentPrefix(_ prefix: String, of path: ArraySlice<UInt8>) -> Bool {
    let bytes = prefix.hasSuffix("/") ? prefix.utf8.dropLast() : prefix.utf8[...]
    guard path.starts(with: bytes) else { return false }
    let rest = path.dropFirst(bytes.count)
    return rest.isEmpty || rest.first == UInt8(ascii: "/")
  }

  /// The parameters of a query, percent-decoded; the first of a name counts (Gateway API, queryParams).
  static func parameters(_ query: ArraySlice<UInt8>?) -> [(name: String, value: String)] {
    guard let query else { return [] }
    return query.split(separator: UInt8(ascii: "&")).map { part in
      let equals = part.firstIndex(of: UInt8(ascii: "=")) ?? part.endIndex
      return (PercentEncoding.decode(part[..<equals]), PercentEncoding.decode(part[equals...].dropFirst()))
    }
  }
}

extension PathReplacement {
  /// The path that stands in place of `path`; the query is the caller's.
  func apply(to path: String, matchedPrefix: String) -> String {
    switch self {
    case .full(let replacement): return replacement
    case .prefix(let replacement):
      let matched = matchedPrefix.hasSuffix("/") ? matchedPrefix.dropLast() : matchedPrefix[...]
      let rest = path.hasPrefix(matched) ? path.dropFirst(matched.count) : path[...]
      if rest.isEmpty { return replacement.isEmpty ? "/" : replacement }
      let head = replacement.hasSuffix("/") ? replacement.dropLast() : replacement[...]
      return rest.hasPrefix("/") ? "\(head)\(rest)" : "\(head)/\(rest)"
    }
  }
}
