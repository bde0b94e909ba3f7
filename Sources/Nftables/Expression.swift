internal import CLinux

/// One step of a rule: nftables' virtual machine has about thirty kinds, each a row here. What a kind holds is in the
/// file of its subject (`Expression+Meta.swift`, ...); how it becomes bytes and back is libnftnl's business, reached
/// through `ExpressionWriter` and `ExpressionReader`.
///
/// Rules are easier to write with `Match` and `Action`, which choose registers and add what the packet must be for the
/// match to mean anything.
public enum Expression: Hashable, Sendable {
  case meta(Meta)
  case payload(Payload)
  case headerOption(HeaderOption)
  case connectionTracking(ConnectionTracking)
  case route(RouteInformation)
  case fib(FIB)
  case numberGenerator(NumberGenerator)
  case hash(Hash)
  case byteOrder(ByteOrder)
  case bitwise(Bitwise)
  case immediate(Immediate)
  case compare(Compare)
  case range(RangeCompare)
  case lookup(Lookup)
  case dynamicSet(DynamicSet)
  case counter(Counter)
  case limit(Limit)
  case connectionLimit(ConnectionLimit)
  case quota(Quota)
  case log(Log)
  case verdict(Verdict)
  case reject(Reject)
  case addressTranslation(AddressTranslation)
  case masquerade(Masquerade)
  case redirect(Redirect)
  case transparentProxy(TransparentProxy)
  case noTrack(NoTrack)
  case forward(Forward)
  case duplicate(Duplicate)
  /// A kind, or a form of one, that this module cannot write: read from the kernel only, never equal to anything wanted.
  case other(Other)

  /// As the kernel names it, for kinds that stand in no row above.
  public struct Other: Hashable, Sendable {
    public var name: String
  }
}

/// A kind of expression: its name in the kernel, and its way to libnftnl's attributes and back.
protocol ExpressionKind: Hashable, Sendable {
  static var name: String { get }
  func write(to writer: ExpressionWriter)
  init?(_ reader: ExpressionReader)
  /// Without what packets change in it.
  var canonical: Self { get }
}

extension ExpressionKind {
  var canonical: Self { self }
}

extension Expression {
  /// What the case holds; nil for `other`.
  var kind: (any ExpressionKind)? {
    switch self {
    case .meta(let kind): kind
    case .payload(let kind): kind
    case .headerOption(let kind): kind
    case .connectionTracking(let kind): kind
    case .route(let kind): kind
    case .fib(let kind): kind
    case .numberGenerator(let kind): kind
    case .hash(let kind): kind
    case .byteOrder(let kind): kind
    case .bitwise(let kind): kind
    case .immediate(let kind): kind
    case .compare(let kind): kind
    case .range(let kind): kind
    case .lookup(let kind): kind
    case .dynamicSet(let kind): kind
    case .counter(let kind): kind
    case .limit(let kind): kind
    case .connectionLimit(let kind): kind
    case .quota(let kind): kind
    case .log(let kind): kind
    case .verdict(let kind): kind
    case .reject(let kind): kind
    case .addressTranslation(let kind): kind
    case .masquerade(let kind): kind
    case .redirect(let kind): kind
    case .transparentProxy(let kind): kind
    case .noTrack(let kind): kind
    case .forward(let kind): kind
    case .duplicate(let kind): kind
    case .other: nil
    }
  }

  /// Without what packets change in it: counts, bytes already used of a quota.
  public var canonical: Expression {
    switch self {
    case .counter(let kind): .counter(kind.canonical)
    case .quota(let kind): .quota(kind.canonical)
    case .dynamicSet(let kind): .dynamicSet(kind.canonical)
    default: self
    }
  }

  private static func row<Kind: ExpressionKind>(
    _ kind: Kind.Type, _ wrap: @escaping @Sendable (Kind) -> Expression
  ) -> (String, @Sendable (ExpressionReader) -> Expression?) {
    (Kind.name, { Kind($0).map(wrap) })
  }

  /// A verdict is an immediate value for the verdict register.
  private static let readers: [String: @Sendable (ExpressionReader) -> Expression?] = Dictionary(
    uniqueKeysWithValues: [
      row(Meta.self, Expression.meta), row(Payload.self, Expression.payload),
      row(HeaderOption.self, Expression.headerOption),
      row(ConnectionTracking.self, Expression.connectionTracking), row(RouteInformation.self, Expression.route),
      row(FIB.self, Expression.fib), row(NumberGenerator.self, Expression.numberGenerator),
      row(Hash.self, Expression.hash), row(ByteOrder.self, Expression.byteOrder),
      row(Bitwise.self, Expression.bitwise), row(Immediate.self, Expression.immediate),
      row(Compare.self, Expression.compare), row(RangeCompare.self, Expression.range),
      row(Lookup.self, Expression.lookup), row(DynamicSet.self, Expression.dynamicSet),
      row(Counter.self, Expression.counter), row(Limit.self, Expression.limit),
      row(ConnectionLimit.self, Expression.connectionLimit), row(Quota.self, Expression.quota),
      row(Log.self, Expression.log), row(Reject.self, Expression.reject),
      row(AddressTranslation.self, Expression.addressTranslation), row(Masquerade.self, Expression.masquerade),
      row(Redirect.self, Expression.redirect), row(TransparentProxy.self, Expression.transparentProxy),
      row(NoTrack.self, Expression.noTrack), row(Forward.self, Expression.forward),
      row(Duplicate.self, Expression.duplicate),
    ])

  /// What libnftnl has read.
  init(_ reader: ExpressionReader) {
    let name = reader.name
    if let verdict = Verdict(reader), name == Verdict.name {
      self = .verdict(verdict)
    } else {
      self = Self.readers[name]?(reader) ?? .other(Other(name: name))
    }
  }
}
