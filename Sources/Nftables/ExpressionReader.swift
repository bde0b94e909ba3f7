internal import CLinux
internal import Netlink

/// An expression that libnftnl has read from a message; valid while the rule it belongs to is. Each reader answers nil
/// when the kernel did not send the attribute.
struct ExpressionReader {
  private let handle: OpaquePointer

  init(_ handle: OpaquePointer) { self.handle = handle }

  var name: String { text(Int(NFTNL_EXPR_NAME)) ?? "" }

  private func has(_ attribute: Int) -> Bool { nftnl_expr_is_set(handle, UInt16(attribute)) }

  func byte(_ attribute: Int) -> UInt8? { has(attribute) ? nftnl_expr_get_u8(handle, UInt16(attribute)) : nil }
  func half(_ attribute: Int) -> UInt16? { has(attribute) ? nftnl_expr_get_u16(handle, UInt16(attribute)) : nil }
  func word(_ attribute: Int) -> UInt32? { has(attribute) ? nftnl_expr_get_u32(handle, UInt16(attribute)) : nil }
  func long(_ attribute: Int) -> UInt64? { has(attribute) ? nftnl_expr_get_u64(handle, UInt16(attribute)) : nil }
  func register(_ attribute: Int) -> Register? { word(attribute).flatMap(Register.init(number:)) }

  func text(_ attribute: Int) -> String? {
    guard attribute == Int(NFTNL_EXPR_NAME) || has(attribute),
      let text = nftnl_expr_get_str(handle, UInt16(attribute))
    else { return nil }
    return String(cString: text)
  }

  func bytes(_ attribute: Int) -> [UInt8]? {
    var length: UInt32 = 0
    guard has(attribute), let data = nftnl_expr_get(handle, UInt16(attribute), &length) else { return nil }
    return Array(UnsafeRawBufferPointer(start: data, count: Int(length)))
  }

  func transfer(into destination: Int, from source: Int) -> Transfer? {
    if let register = register(destination) { return .load(into: register) }
    return register(source).map(Transfer.store)
  }

  /// Expressions inside this one (dynset).
  var nested: [Expression] {
    var found: [Expression] = []
    withUnsafeMutablePointer(to: &found) { list in
      nft_each_nested(
        handle,
        { expression, list in
          guard let expression else { return }
          list?.assumingMemoryBound(to: [Expression].self).pointee.append(Expression(ExpressionReader(expression)))
        }, list)
    }
    return found
  }
}

extension Expression {
  /// The expressions of a rule that the kernel sent. One that libnftnl does not know hides the others: the rule is then
  /// shown as a single expression that is equal to nothing wanted.
  static func list(of message: Message) -> [Expression] {
    guard let start = message.bytes.baseAddress, let rule = nft_parse_rule(start) else {
      return [.other(Other(name: "unknown to libnftnl"))]
    }
    defer { nftnl_rule_free(rule) }
    guard let iterator = nftnl_expr_iter_create(rule) else { return [] }
    defer { nftnl_expr_iter_destroy(iterator) }
    var expressions: [Expression] = []
    while let expression = nftnl_expr_iter_next(iterator) {
      expressions.append(Expression(ExpressionReader(expression)))
    }
    return expressions
  }
}
