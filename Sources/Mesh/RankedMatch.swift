/// One match of one rule with its rank. Precedence as the Gateway API has it. HTTPRouteRule: an exact path, then the
/// longest prefix, a method, the most header matches, the most query parameters. GRPCRouteRule: the longest service,
/// the longest method, the most header matches. Then the earlier route, rule and match. Where regular expressions stand
/// is left to implementations: here after exact paths, the longer first.
public struct RankedMatch: Sendable {
  public let match: RequestMatch
  public let rule: RouteRule
  /// Compared from left to right; greater goes first.
  private let rank: [Int]
  private let order: Int

  /// Every match of every rule, the most specific first.
  public static func all(of routes: [MeshRoute]) -> [RankedMatch] {
    var result: [RankedMatch] = []
    for rule in routes.flatMap(\.rules) {
      for match in rule.matches.isEmpty ? [RequestMatch()] : rule.matches {
        result.append(RankedMatch(match: match, rule: rule, rank: rank(match), order: result.count))
      }
    }
    return result.sorted { a, b in
      for (left, right) in zip(a.rank, b.rank) where left != right { return left > right }
      return a.order < b.order
    }
  }

  private static func rank(_ match: RequestMatch) -> [Int] {
    var rank: [Int]
    switch match.path {
    case .grpc(let service, let method):
      // Ahead of any path: both name the whole of it.
      rank = [4, service?.count ?? 0, method?.count ?? 0]
    case .exact(let path): rank = [3, path.count, 0]
    case .grpcExpression(let service, let method): rank = [2, service?.count ?? 0, method?.count ?? 0]
    case .regularExpression(let pattern): rank = [1, pattern.count, 0]
    case .prefix(let prefix): rank = [0, prefix.count, 0]
    case nil: rank = [0, 1, 0]  // the prefix /
    }
    rank += [match.method == nil ? 0 : 1, match.headers.count, match.query.count]
    return rank
  }
}
