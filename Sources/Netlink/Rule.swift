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
  /// Of the packet (IPPROTO_*).
  public var transport: UInt8?
  public var sourcePorts: ClosedRange<UInt16>?
  public var destinationPorts: ClosedRange<UInt16>?
  /// Code point of the traffic class. Kernels before 6.13 ignore it: `NetlinkSocket.canRouteByCodePoint`.
  public var codePoint: UInt8?
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
      case FRA_IP_PROTO: transport = attribute.integer()
      case FRA_SPORT_RANGE: sourcePorts = Self.ports(attribute)
      case FRA_DPORT_RANGE: destinationPorts = Self.ports(attribute)
      case Self.codePointAttribute: codePoint = attribute.integer()
      case FRA_PROTOCOL: `protocol` = RouteProtocol(rawValue: attribute.integer() ?? 0)
      default: break
      }
    }
  }

  /// FRA_DSCP of linux/fib_rules.h, since Linux 6.13; older headers do not have it.
  static let codePointAttribute = 25

  /// struct fib_rule_port_range
  private static func ports(_ attribute: Attribute) -> ClosedRange<UInt16>? {
    guard let range = attribute.structure(fib_rule_port_range.self), range.start <= range.end else { return nil }
    return range.start...range.end
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
    if let transport = rule.transport { put(AttributeType(FRA_IP_PROTO), transport) }
    if let ports = rule.sourcePorts { put(AttributeType(FRA_SPORT_RANGE), structure: fib_rule_port_range(ports)) }
    if let ports = rule.destinationPorts { put(AttributeType(FRA_DPORT_RANGE), structure: fib_rule_port_range(ports)) }
    if let codePoint = rule.codePoint { put(AttributeType(Rule.codePointAttribute), codePoint) }
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

extension NetlinkSocket {
  /// Whether rules can ask for a code point. A kernel that does not know the attribute ignores it, and the rule would
  /// take every packet: so it is tried in a namespace that nobody else sees.
  public static func canRouteByCodePoint() throws(KernelError) -> Bool {
    let socket = try NetlinkSocket(in: try Namespace.create())
    var rule = Rule(.ipv4, priority: 1, table: .main)
    rule.codePoint = 46
    do throws(KernelError) {
      try socket.commit { $0.addRule(rule) }
    } catch {
      if error.isDenied { throw error }
      return false
    }
    return try socket.rules(.ipv4).contains(rule)
  }
}

extension fib_rule_port_range {
  fileprivate init(_ ports: ClosedRange<UInt16>) {
    self.init()
    (start, end) = (ports.lowerBound, ports.upperBound)
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
