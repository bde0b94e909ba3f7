internal import CLinux

extension Expression {
  /// Asks a set for a register's value: goes on only if it is in it (or only if not), or takes a map's answer.
  public struct Lookup: ExpressionKind {
    /// Where a map's answer goes.
    public enum Answer: Hashable, Sendable {
      case register(Register)
      /// Of a verdict map.
      case verdict
    }
    public var set: SetReference
    public var register: Register
    /// nil: a set is asked.
    public var answer: Answer?
    public var isInverted: Bool

    public init(
      _ set: SetReference, _ register: Register = .first, answer: Answer? = nil, isInverted: Bool = false
    ) {
      self.set = set
      self.register = register
      self.answer = answer
      self.isInverted = isInverted
    }
  }

  /// Lets the packet add an element to a named set, or refresh its time: the way to a limit or counter per source.
  public struct DynamicSet: ExpressionKind {
    /// enum nft_dynset_ops
    public enum Operation: UInt32, Hashable, Sendable {
      /// Only if it is not in it.
      case add = 0
      /// If it is in it: begins its timeout again.
      case update = 1
      case delete = 2
    }
    public var operation: Operation
    public var set: String
    public var key: Register
    /// Of a map.
    public var answer: Register?
    /// Milliseconds; nil: the set's.
    public var timeout: UInt64?
    /// Each element gets its own: limit, counter, connection limit, quota. The packet goes on as the first says.
    public var expressions: [Expression]

    public init(
      _ operation: Operation, _ set: String, key: Register = .first, answer: Register? = nil, timeout: UInt64? = nil,
      _ expressions: [Expression] = []
    ) {
      self.operation = operation
      self.set = set
      self.key = key
      self.answer = answer
      self.timeout = timeout
      self.expressions = expressions
    }
  }
}

extension Expression.Lookup {
  static let name = "lookup"

  func write(to writer: ExpressionWriter) {
    switch set {
    case .named(let name): writer.set(NFTNL_EXPR_LOOKUP_SET, name)
    case .inline:
      guard let pending = writer.pendingSet else { return }
      writer.set(NFTNL_EXPR_LOOKUP_SET, pending.name)
      writer.set(NFTNL_EXPR_LOOKUP_SET_ID, pending.id)
    }
    writer.set(NFTNL_EXPR_LOOKUP_SREG, register)
    switch answer {
    case .register(let register): writer.set(NFTNL_EXPR_LOOKUP_DREG, register)
    case .verdict: writer.set(NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT.rawValue)
    case nil: break
    }
    if isInverted { writer.set(NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV.rawValue) }
  }

  init?(_ reader: ExpressionReader) {
    guard let set = reader.text(NFTNL_EXPR_LOOKUP_SET), let register = reader.register(NFTNL_EXPR_LOOKUP_SREG)
    else { return nil }
    let flags = reader.word(NFTNL_EXPR_LOOKUP_FLAGS) ?? 0
    let answer: Answer? =
      switch reader.word(NFTNL_EXPR_LOOKUP_DREG) {
      case nil: nil
      case NFT_REG_VERDICT.rawValue?: .verdict
      case .some(let number): Register(number: number).map(Answer.register)
      }
    self.init(.named(set), register, answer: answer, isInverted: flags & NFT_LOOKUP_F_INV.rawValue != 0)
  }
}

extension Expression.DynamicSet {
  static let name = "dynset"

  func write(to writer: ExpressionWriter) {
    writer.set(NFTNL_EXPR_DYNSET_SET_NAME, set)
    writer.set(NFTNL_EXPR_DYNSET_OP, operation.rawValue)
    writer.set(NFTNL_EXPR_DYNSET_SREG_KEY, key)
    if let answer { writer.set(NFTNL_EXPR_DYNSET_SREG_DATA, answer) }
    if let timeout { writer.set(NFTNL_EXPR_DYNSET_TIMEOUT, long: timeout) }
    guard !expressions.isEmpty else { return }
    // Several go as a list, which the kernel takes only with the flag.
    if expressions.count > 1 { writer.set(NFTNL_EXPR_DYNSET_FLAGS, NFT_DYNSET_F_EXPR.rawValue) }
    let attribute = expressions.count > 1 ? NFTNL_EXPR_DYNSET_EXPRESSIONS : NFTNL_EXPR_DYNSET_EXPR
    for expression in expressions { writer.add(attribute, expression) }
  }

  init?(_ reader: ExpressionReader) {
    guard let set = reader.text(NFTNL_EXPR_DYNSET_SET_NAME), let key = reader.register(NFTNL_EXPR_DYNSET_SREG_KEY),
      let operation = reader.word(NFTNL_EXPR_DYNSET_OP).flatMap(Operation.init(rawValue:))
    else { return nil }
    let timeout = reader.long(NFTNL_EXPR_DYNSET_TIMEOUT)
    self.init(
      operation, set, key: key, answer: reader.register(NFTNL_EXPR_DYNSET_SREG_DATA),
      timeout: timeout == 0 ? nil : timeout, reader.nested)
  }

  var canonical: Self {
    var update = self
    update.expressions = expressions.map(\.canonical)
    return update
  }
}
