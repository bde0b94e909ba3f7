internal import CLinux
internal import Netlink

/// Fills an expression of libnftnl (`struct nftnl_expr`); valid inside `with` only.
///
/// libnftnl copies as many bytes as an attribute has: each must be given in its own width, which the `set` called says.
struct ExpressionWriter {
  private let handle: OpaquePointer
  /// The set that a lookup without a name means: made earlier in the same transaction.
  let pendingSet: PendingSet?

  /// A set without a name: the kernel finds it by number until it has given it a name.
  struct PendingSet {
    /// A pattern that the kernel fills in.
    var name: String
    var id: UInt32
  }

  /// A filled expression, owned by whoever asked.
  private static func filled(_ kind: any ExpressionKind, _ pendingSet: PendingSet? = nil) -> OpaquePointer {
    let name = type(of: kind).name
    guard let handle = nftnl_expr_alloc(name) else { preconditionFailure("libnftnl has no memory for \(name)") }
    kind.write(to: ExpressionWriter(handle: handle, pendingSet: pendingSet))
    return handle
  }

  /// NFTA_EXPR_NAME and NFTA_EXPR_DATA, at the end of the message that `batch` is building.
  static func put(_ kind: any ExpressionKind, _ pendingSet: PendingSet?, in batch: inout MessageBatch) {
    let expression = filled(kind, pendingSet)
    defer { nftnl_expr_free(expression) }
    batch.extend(byAtMost: Int(NFT_EXPRESSION_ROOM)) { nft_put_expression($0, expression) }
  }

  func set(_ attribute: Int, byte value: UInt8) { nftnl_expr_set_u8(handle, UInt16(attribute), value) }
  func set(_ attribute: Int, half value: UInt16) { nftnl_expr_set_u16(handle, UInt16(attribute), value) }
  func set(_ attribute: Int, _ value: UInt32) { nftnl_expr_set_u32(handle, UInt16(attribute), value) }
  func set(_ attribute: Int, long value: UInt64) { nftnl_expr_set_u64(handle, UInt16(attribute), value) }
  func set(_ attribute: Int, _ register: Register) { set(attribute, register.number) }
  func set(_ attribute: Int, _ text: String) { nftnl_expr_set_str(handle, UInt16(attribute), text) }

  /// A value for a register. libnftnl's room for one is fixed, and older versions do not check.
  func set(_ attribute: Int, _ bytes: [UInt8]) {
    precondition(bytes.count <= Int(NFT_DATA_VALUE_MAXLEN), "a value has at most 64 bytes")
    nftnl_expr_set(handle, UInt16(attribute), bytes, UInt32(bytes.count))
  }

  func set(_ transfer: Transfer, into destination: Int, from source: Int) {
    switch transfer {
    case .load(let register): set(destination, register)
    case .store(let register): set(source, register)
    }
  }

  /// Puts another expression inside this one, which owns it from then on.
  func add(_ attribute: Int, _ expression: Expression) {
    guard let kind = expression.kind else { return }
    nftnl_expr_add_expr(handle, UInt32(attribute), Self.filled(kind))
  }
}

extension MessageBatch {
  /// The list of a rule's expressions. `pendingSets` are taken by lookups without a name, in order.
  mutating func put(_ expressions: [Expression], pendingSets: [ExpressionWriter.PendingSet]) {
    var pending = pendingSets[...]
    nest(AttributeType(NFTA_RULE_EXPRESSIONS)) { batch in
      for expression in expressions {
        guard let kind = expression.kind else { continue }
        var set: ExpressionWriter.PendingSet?
        if case .lookup(let lookup) = expression, lookup.set.contents != nil { set = pending.popFirst() }
        batch.nest(AttributeType(NFTA_LIST_ELEM)) { batch in
          ExpressionWriter.put(kind, set, in: &batch)
        }
      }
    }
  }
}
