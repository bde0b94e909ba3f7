internal import CLinux
import Glibc
public import NetTypes

/// Number of an interface within its namespace.
public struct InterfaceIndex: RawRepresentable, Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public init(integerLiteral value: UInt32) { rawValue = value }
  public static func < (a: InterfaceIndex, b: InterfaceIndex) -> Bool { a.rawValue < b.rawValue }

  /// `lo` of a namespace is its first interface.
  public static let loopback: InterfaceIndex = 1
}

/// A network interface as the kernel shows it (`ip link`).
public struct Link: Hashable, Sendable {
  public var index: InterfaceIndex
  public var name: String
  /// `veth`, `bridge`, ...; empty where the driver names none (`lo`).
  public var kind = ""
  public var mac: MACAddress?
  public var mtu: UInt32 = 0
  /// Set up by the administrator (IFF_UP).
  public var isUp = false
  /// The other side is there (IFF_LOWER_UP).
  public var hasCarrier = false
  public var isLoopback = false
  /// The bridge it is a port of.
  public var master: InterfaceIndex?
  /// The far end of a veth; an index of the far end's namespace.
  public var peer: InterfaceIndex?
  public var statistics = LinkStatistics()

  public init(index: InterfaceIndex, name: String) {
    self.index = index
    self.name = name
  }

  /// Up, and the other side too: packets can pass.
  public var canCarry: Bool { isUp && hasCarrier }
}

/// Counters of an interface since it was made (struct rtnl_link_stats64).
public struct LinkStatistics: Hashable, Sendable {
  public var receivedPackets: UInt64 = 0
  public var sentPackets: UInt64 = 0
  public var receivedBytes: UInt64 = 0
  public var sentBytes: UInt64 = 0
  public var receivedErrors: UInt64 = 0
  public var sentErrors: UInt64 = 0
  public var receivedDropped: UInt64 = 0
  public var sentDropped: UInt64 = 0

  public init() {}
}

extension Link {
  init?(_ message: Message) {
    guard let header = message.header(as: ifinfomsg.self) else { return nil }
    self.init(index: InterfaceIndex(rawValue: UInt32(bitPattern: header.ifi_index)), name: "")
    isUp = header.ifi_flags & UInt32(IFF_UP) != 0
    hasCarrier = header.ifi_flags & UInt32(NL_IFF_LOWER_UP) != 0
    isLoopback = header.ifi_flags & UInt32(IFF_LOOPBACK) != 0
    for attribute in message.attributes(after: ifinfomsg.self) { read(attribute) }
  }

  private mutating func read(_ attribute: Attribute) {
    switch Int(attribute.type.rawValue) {
    case IFLA_IFNAME: name = attribute.string
    case IFLA_ADDRESS: mac = MACAddress(bytes: attribute.value)
    case IFLA_MTU: mtu = attribute.integer() ?? 0
    case IFLA_MASTER: master = attribute.integer().map(InterfaceIndex.init(rawValue:))
    case IFLA_LINK: peer = attribute.integer().map(InterfaceIndex.init(rawValue:))
    case IFLA_LINKINFO:
      for part in attribute.nested where part.type == AttributeType(IFLA_INFO_KIND) { kind = part.string }
    case IFLA_STATS64:
      if let counters = attribute.structure(rtnl_link_stats64.self) { statistics = LinkStatistics(counters) }
    default: break
    }
  }
}

extension LinkStatistics {
  init(_ counters: rtnl_link_stats64) {
    receivedPackets = counters.rx_packets
    sentPackets = counters.tx_packets
    receivedBytes = counters.rx_bytes
    sentBytes = counters.tx_bytes
    receivedErrors = counters.rx_errors
    sentErrors = counters.tx_errors
    receivedDropped = counters.rx_dropped
    sentDropped = counters.tx_dropped
  }
}

extension NetlinkSocket {
  /// Every interface of the namespace.
  public func links() throws(KernelError) -> [Link] {
    try dump(.getLink, ifinfomsg(), decode: Link.init)
  }

  /// One interface by name; nil when there is none.
  public func link(named name: String) throws(KernelError) -> Link? {
    try get(.getLink, ifinfomsg(), attributes: { $0.put(AttributeType(IFLA_IFNAME), name) }, decode: Link.init)
  }

  /// One interface by number; nil when there is none.
  public func link(_ index: InterfaceIndex) throws(KernelError) -> Link? {
    try get(.getLink, ifinfomsg(index), attributes: { _ in }, decode: Link.init)
  }
}

extension ifinfomsg {
  init(_ index: InterfaceIndex) {
    self.init()
    ifi_index = Int32(bitPattern: index.rawValue)
  }
}
