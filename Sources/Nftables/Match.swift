public import NetTypes

/// A protocol above IP, by its number (IANA; IPPROTO_*).
public struct TransportProtocol: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let icmp = TransportProtocol(rawValue: 1)
  public static let tcp = TransportProtocol(rawValue: 6)
  public static let udp = TransportProtocol(rawValue: 17)
  public static let icmpv6 = TransportProtocol(rawValue: 58)
  public static let sctp = TransportProtocol(rawValue: 132)
}

/// Expressions together with what a packet must be for them to mean anything: the bytes of an IPv4 source address are
/// something else in an IPv6 packet.
struct Clause: Hashable, Sendable {
  var family: AddressFamily?
  var transports: [TransportProtocol] = []
  var expressions: [Expression]
  /// What the expressions themselves settle for those behind them.
  var statesFamily: AddressFamily?
  var statesTransports: [TransportProtocol] = []
}

/// One condition of a rule, as `nft` would write it: `.source(prefix)` is `ip saddr PREFIX` or `ip6 saddr PREFIX`.
///
/// Conditions load what they compare into the first register; a rule goes on while all of them hold. `!condition` holds
/// when the condition does not (for packets that it can be asked of: `!.source(v4)` does not hold for IPv6).
public struct Match: Hashable, Sendable {
  var clause: Clause

  init(
    family: AddressFamily? = nil, transports: [TransportProtocol] = [], _ expressions: [Expression]
  ) {
    clause = Clause(family: family, transports: transports, expressions: expressions)
  }

  /// Expressions as they are.
  public static func expressions(_ expressions: [Expression]) -> Match { Match(expressions) }

  /// Turns the comparison at the end around. A range becomes its outside.
  public static prefix func ! (match: Match) -> Match {
    var match = match
    match.clause.statesFamily = nil
    match.clause.statesTransports = []
    guard let last = match.clause.expressions.popLast() else { return match }
    let previous = match.clause.expressions.last
    switch (previous, last) {
    case (.compare(let low)?, .compare(let high)) where low.operation == .greaterOrEqual:
      match.clause.expressions.removeLast()
      match.clause.expressions.append(
        .range(Expression.RangeCompare(low.value, through: high.value, isInverted: true, in: low.register)))
    case (_, .compare(var compare)):
      compare.operation = compare.operation.opposite
      match.clause.expressions.append(.compare(compare))
    case (_, .range(let range)):
      match.clause.expressions += Self.between(range.first, range.last)
    case (_, .lookup(var lookup)):
      lookup.isInverted.toggle()
      match.clause.expressions.append(.lookup(lookup))
    case (_, .limit(var limit)):
      limit.isOver.toggle()
      match.clause.expressions.append(.limit(limit))
    case (_, .connectionLimit(var limit)):
      limit.isOver.toggle()
      match.clause.expressions.append(.connectionLimit(limit))
    default: match.clause.expressions.append(last)
    }
    return match
  }

  static func between(_ first: [UInt8], _ last: [UInt8]) -> [Expression] {
    [.compare(Expression.Compare(.greaterOrEqual, first)), .compare(Expression.Compare(.lessOrEqual, last))]
  }

  // MARK: Interfaces

  public static func interfaceIn(_ name: InterfaceName) -> Match { interface(.inputInterfaceName, name) }
  public static func interfaceOut(_ name: InterfaceName) -> Match { interface(.outputInterfaceName, name) }

  private static func interface(_ key: MetaKey, _ name: InterfaceName) -> Match {
    Match([.meta(Expression.Meta(key)), .compare(Expression.Compare(Datum.interface(name)))])
  }

  public static func interfaceIn(anyOf names: [InterfaceName]) -> Match { interface(.inputInterfaceName, names) }
  public static func interfaceOut(anyOf names: [InterfaceName]) -> Match { interface(.outputInterfaceName, names) }

  private static func interface(_ key: MetaKey, _ names: [InterfaceName]) -> Match {
    let elements = names.map { SetElement(SetKey(Datum.interface($0))) }
    return Match([
      .meta(Expression.Meta(key)),
      .lookup(Expression.Lookup(.inline(SetContents(SetShape([.interfaceName]), elements)))),
    ])
  }

  // MARK: What the stack knows

  public static func family(_ family: AddressFamily) -> Match {
    var match = Match(
      [.meta(Expression.Meta(.networkProtocol)), .compare(Expression.Compare([family.netfilterNumber]))])
    match.clause.statesFamily = family
    return match
  }

  public static func mark(_ mark: UInt32, mask: UInt32 = .max) -> Match {
    masked([.meta(Expression.Meta(.mark))], mark, mask)
  }

  public static func connectionMark(_ mark: UInt32, mask: UInt32 = .max) -> Match {
    masked([.connectionTracking(Expression.ConnectionTracking(.mark))], mark, mask)
  }

  private static func masked(_ load: [Expression], _ value: UInt32, _ mask: UInt32) -> Match {
    let masking: [Expression] = mask == .max ? [] : [.bitwise(Expression.Bitwise(mask: Datum.hostNumber(mask)))]
    return Match(load + masking + [.compare(Expression.Compare(Datum.hostNumber(value)))])
  }

  /// Sent by a socket of this user (output and postrouting).
  public static func socketUser(_ user: UInt32) -> Match {
    Match([.meta(Expression.Meta(.socketUser)), .compare(Expression.Compare(Datum.hostNumber(user)))])
  }

  /// No route leads back to the source by the interface that the packet came in by (strict reverse path filtering).
  public static var reversePathMissing: Match {
    Match([
      .fib(Expression.FIB([.source, .inputInterface, .presence], .outputInterface)),
      .compare(Expression.Compare(Datum.hostNumber(0))),
    ])
  }

  /// Holds for `part` of `whole` packets, at random.
  public static func random(_ part: UInt32, of whole: UInt32) -> Match {
    Match([
      .numberGenerator(Expression.NumberGenerator(.random, modulus: whole)),
      .byteOrder(Expression.ByteOrder(toNetwork: true, length: 4, size: 4)),
      .compare(Expression.Compare(.less, Datum.number(part))),
    ])
  }

  // MARK: Rates

  /// Holds while packets or bytes stay below a rate.
  public static func limit(_ limit: Expression.Limit) -> Match { Match([.limit(limit)]) }

  /// Holds when there are more tracked connections than this among those that this rule has seen.
  public static func connections(over count: UInt32) -> Match {
    Match([.connectionLimit(Expression.ConnectionLimit(count, isOver: true))])
  }

  public static func quota(over bytes: UInt64) -> Match { Match([.quota(Expression.Quota(bytes, isOver: true))]) }
}
