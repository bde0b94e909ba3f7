internal import NetTypes
internal import Nftables

extension Nftables.Rule {
  /// One line for people: its comment, or what it does where nobody gave it one. Common matches read as nft writes them;
  /// of the others the kind of expression is told.
  var text: String {
    guard comment.isEmpty else { return comment }
    var fields: [Register: MatchedField] = [:]
    var words: [String] = []
    var transport = "th"
    for expression in expressions {
      if let (register, field) = MatchedField.load(expression, transport) {
        fields[register] = field
      } else if case .compare(let compare) = expression, let field = fields[compare.register] {
        let value = field.form(compare.value)
        if field.name == "meta l4proto", compare.operation == .equal { transport = value }
        words.append("\(field.name)\(compare.operation.sign) \(value)")
      } else {
        words.append(expression.word)
      }
    }
    return words.joined(separator: " ")
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

/// What of a packet stands in a register, and how its values are written.
private struct MatchedField {
  var name: String
  var form: ([UInt8]) -> String

  /// nil: not a load of a field that has a name here.
  static func load(_ expression: Expression, _ transport: String) -> (Register, MatchedField)? {
    switch expression {
    case .meta(let meta):
      guard case .load(let register) = meta.transfer, let field = named(meta.key) else { return nil }
      return (register, field)
    case .payload(let payload):
      guard case .load(let register) = payload.transfer, let field = named(payload, transport) else { return nil }
      return (register, field)
    default: return nil
    }
  }

  private static func named(_ key: MetaKey) -> MatchedField? {
    switch key {
    case .inputInterfaceName: MatchedField(name: "iifname", form: text)
    case .outputInterfaceName: MatchedField(name: "oifname", form: text)
    case .transportProtocol: MatchedField(name: "meta l4proto", form: protocolName)
    case .networkProtocol: MatchedField(name: "meta nfproto") { $0 == [2] ? "ipv4" : $0 == [10] ? "ipv6" : number($0) }
    case .mark: MatchedField(name: "meta mark") { "0x" + String(hostNumber($0), radix: 16) }
    default: nil
    }
  }

  private static func named(_ payload: Expression.Payload, _ transport: String) -> MatchedField? {
    switch (payload.base, payload.offset, payload.length) {
    case (.networkHeader, 12, 4): MatchedField(name: "ip saddr", form: address)
    case (.networkHeader, 16, 4): MatchedField(name: "ip daddr", form: address)
    case (.networkHeader, 8, 16): MatchedField(name: "ip6 saddr", form: address)
    case (.networkHeader, 24, 16): MatchedField(name: "ip6 daddr", form: address)
    case (.networkHeader, 9, 1): MatchedField(name: "ip protocol", form: protocolName)
    case (.transportHeader, 0, 2): MatchedField(name: "\(transport) sport", form: number)
    case (.transportHeader, 2, 2): MatchedField(name: "\(transport) dport", form: number)
    default: nil
    }
  }

  private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
  private static func address(_ bytes: [UInt8]) -> String { IPAddress(bytes: bytes).map { "\($0)" } ?? "?" }
  private static func number(_ bytes: [UInt8]) -> String { "\(bytes.reduce(0 as UInt64) { $0 << 8 | UInt64($1) })" }
  private static func hostNumber(_ bytes: [UInt8]) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }

  private static func protocolName(_ bytes: [UInt8]) -> String {
    switch bytes {
    case [1]: "icmp"
    case [6]: "tcp"
    case [17]: "udp"
    case [58]: "icmpv6"
    default: number(bytes)
    }
  }
}

extension Expression.Compare.Operation {
  /// As nft writes it; equality goes unsaid.
  fileprivate var sign: String {
    switch self {
    case .equal: ""
    case .notEqual: " !="
    case .less: " <"
    case .lessOrEqual: " <="
    case .greater: " >"
    case .greaterOrEqual: " >="
    }
  }
}
