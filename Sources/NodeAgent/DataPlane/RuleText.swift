internal import Nftables

extension Nftables.Rule {
  /// One line for people: its comment, or the kinds of its expressions where nobody gave it one.
  var text: String {
    guard comment.isEmpty else { return comment }
    return expressions.map(\.word).joined(separator: " ")
  }

  /// What it does to packets: the counters in its order.
  var counters: [Expression.Counter] {
    expressions.compactMap { if case .counter(let counter) = $0 { counter } else { nil } }
  }
}

extension Expression {
  /// The kind, or the verdict.
  fileprivate var word: String {
    switch self {
    case .verdict(.accept): "accept"
    case .verdict(.drop): "drop"
    case .verdict(.return): "return"
    case .verdict(.continue): "continue"
    case .verdict(.jump(let chain)): "jump \(chain)"
    case .verdict(.goto(let chain)): "goto \(chain)"
    case .other(let other): other.name
    case .meta: "meta"
    case .payload: "payload"
    case .headerOption: "option"
    case .connectionTracking: "ct"
    case .route: "rt"
    case .fib: "fib"
    case .numberGenerator: "numgen"
    case .hash: "hash"
    case .byteOrder: "byteorder"
    case .bitwise: "bitwise"
    case .immediate: "immediate"
    case .compare: "cmp"
    case .range: "range"
    case .lookup: "lookup"
    case .dynamicSet: "dynset"
    case .counter: "counter"
    case .limit: "limit"
    case .connectionLimit: "ct count"
    case .quota: "quota"
    case .log: "log"
    case .reject: "reject"
    case .addressTranslation(let nat): nat.side == .source ? "snat" : "dnat"
    case .masquerade: "masquerade"
    case .redirect: "redirect"
    case .transparentProxy: "tproxy"
    case .noTrack: "notrack"
    case .forward: "fwd"
    case .duplicate: "dup"
    }
  }
}
