internal import CLinux
import Glibc
public import NetTypes

/// A policy routing rule (`ip rule`): which packets look into which table.
public struct Rule: Hashable, Sendable {
  public var family: AddressFamily
  /// Order: the smallest number is asked first.
  public var priority: UInt32
  public var table: RouteTable
  public var source: IPPrefix?
  public var destination: IPPrefix?
  public var mark: UInt32?
  public var inputInterface: InterfaceName?
  public var `protocol`: RouteProtocol = .static

  public init(
    _ family: AddressFamily, priority: UInt32, table: RouteTable, source: IPPrefix? = nil,
    destination: IPPrefix? = nil, mark: UInt32? = nil, inputInterface: InterfaceName? = nil
  ) {
    self.family = family
    self.priority = priority
    self.table = table
    self.source = source
    self.destination = destination
    self.mark = mark
    self.inputInterface = inputInterface
  }

  init?(_ message: Message) {
    guard let header = message.header(as: fib_rule_hdr.self), let family = AddressFamily(number: header.family)
    else { return nil }
    self.init(family, priority: 0, table: RouteTable(rawValue: UInt32(header.table)))
    for attribute in message.attributes(after: fib_rule_hdr.self) {
      switch Int(attribute.type.rawValue) {
      case FRA_PRIORITY: priority = attribute.integer() ?? 0
      case FRA_TABLE: table = RouteTable(rawValue: attribute.integer() ?? table.rawValue)
      case FRA_SRC: source = attribute.address.flatMap { IPPrefix($0, length: Int(header.src_len)) }
      case FRA_DST: destination = attribute.address.flatMap { IPPrefix($0, length: Int(header.dst_len)) }
      case FRA_FWMARK: mark = attribute.integer()
      case FRA_IIFNAME: inputInterface = InterfaceName(attribute.string)
      case FRA_PROTOCOL: `protocol` = RouteProtocol(rawValue: attribute.integer() ?? 0)
      default: break
      }
    }
  }
}

extension MessageBatch {
  public mutating func addRule(_ rule: Rule) {
    append(.newRule, [.create, .exclusive], fib_rule_hdr(rule)) { $0.put(rule) }
  }

  public mutating func deleteRule(_ rule: Rule) {
    append(.deleteRule, [], fib_rule_hdr(rule)) { $0.put(rule) }
  }

  private mutating func put(_ rule: Rule) {
    put(AttributeType(FRA_PRIORITY), rule.priority)
    put(AttributeType(FRA_TABLE), rule.table.rawValue)
    put(AttributeType(FRA_PROTOCOL), rule.protocol.rawValue)
    if let source = rule.source { put(AttributeType(FRA_SRC), source.address) }
    if let destination = rule.destination { put(AttributeType(FRA_DST), destination.address) }
    if let mark = rule.mark { put(AttributeType(FRA_FWMARK), mark) }
    if let interface = rule.inputInterface { put(AttributeType(FRA_IIFNAME), interface.text) }
  }
}

extension NetlinkSocket {
  /// The rules of one family, in the order in which the kernel asks them.
  public func rules(_ family: AddressFamily) throws(KernelError) -> [Rule] {
    var header = fib_rule_hdr()
    header.family = family.number
    return try dump(.getRule, header, decode: Rule.init)
  }
}

extension fib_rule_hdr {
  init(_ rule: Rule) {
    self.init()
    family = rule.family.number
    action = UInt8(FR_ACT_TO_TBL)
    table = UInt8(clamping: rule.table.rawValue)
    src_len = rule.source?.length ?? 0
    dst_len = rule.destination?.length ?? 0
  }
}
