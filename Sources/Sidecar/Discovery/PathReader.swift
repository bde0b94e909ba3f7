import XDS

/// What becomes of a request's path, in a route or in a redirect. Of the expressions in which Envoy is told to change a
/// path, two kinds are understood: another path altogether, and a prefix that is taken away.
enum PathReader {
  static func rewrite(_ source: EnvoyRouteAction, _ match: EnvoyRouteMatch, _ path: String) throws(ResourceError)
    -> PathReplacement?
  {
    if !source.prefixRewrite.isEmpty {
      guard !source.hasRegexRewrite else {
        throw ResourceError("\(path).regex_rewrite", "is there beside prefix_rewrite")
      }
      return try prefix(source.prefixRewrite, match, "\(path).prefix_rewrite")
    }
    return source.hasRegexRewrite ? try expression(source.regexRewrite, match, "\(path).regex_rewrite") : nil
  }

  static func redirect(_ source: EnvoyRedirectAction, _ match: EnvoyRouteMatch, _ path: String) throws(ResourceError)
    -> PathReplacement?
  {
    switch source.pathRewriteSpecifier {
    case .pathRedirect(let path): .full(path)
    case .prefixRewrite(let text): try prefix(text, match, "\(path).prefix_rewrite")
    case .regexRewrite(let change): try expression(change, match, "\(path).regex_rewrite")
    case nil: nil
    }
  }

  /// Bytes in place of bytes is the same as segments in place of segments only where both prefixes end alike.
  private static func prefix(_ text: String, _ match: EnvoyRouteMatch, _ path: String) throws(ResourceError)
    -> PathReplacement
  {
    switch match.pathSpecifier {
    case .prefix(let old) where old.hasSuffix("/") == text.hasSuffix("/") && old.hasSuffix("/"): return .prefix(text)
    case .pathSeparatedPrefix where !text.hasSuffix("/"): return .prefix(text)
    default: throw ResourceError(path, "does not go with the route's match")
    }
  }

  private static func expression(
    _ source: EnvoyRegexMatchAndSubstitute, _ match: EnvoyRouteMatch, _ path: String
  ) throws(ResourceError) -> PathReplacement {
    if source.pattern.regex == "^/.*$" {
      guard let text = literal(source.substitution) else {
        throw ResourceError("\(path).substitution", "groups are not supported")
      }
      return .full(text)
    }
    if case .pathSeparatedPrefix(let prefix) = match.pathSpecifier, source.substitution == "/",
      source.pattern.regex == "^\(quoted(prefix))/*"
    {
      return .prefix("/")
    }
    throw ResourceError("\(path).pattern.regex", "\(source.pattern.regex.prefix(200)) is not supported")
  }

  /// What a substitution without references to groups stands for; a backslash is written as two.
  private static func literal(_ substitution: String) -> String? {
    var result = ""
    var rest = substitution[...]
    while let character = rest.popFirst() {
      if character == "\\", rest.popFirst() != "\\" { return nil }
      result.append(character)
    }
    return result
  }

  /// An expression of RE2 that matches exactly this text.
  private static func quoted(_ text: String) -> String {
    var result = ""
    for character in text {
      if "\\.+*?()|[]{}^$".contains(character) { result.append("\\") }
      result.append(character)
    }
    return result
  }
}
