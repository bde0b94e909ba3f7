internal import CLinux
import Glibc
public import NetTypes

/// One end of a veth pair to be made.
public struct VethEnd: Sendable {
  public var name: InterfaceName
  /// Where this end is to live; nil: the namespace of the socket that asks.
  public var namespace: Namespace?
  /// nil: the kernel's choice.
  public var index: InterfaceIndex?
  /// nil: random.
  public var mac: MACAddress?

  public init(
    _ name: InterfaceName, in namespace: Namespace? = nil, index: InterfaceIndex? = nil, mac: MACAddress? = nil
  ) {
    self.name = name
    self.namespace = namespace
    self.index = index
    self.mac = mac
  }
}

extension MessageBatch {
  /// A veth pair with each end placed in its namespace by the same request. Both ends are down afterwards: the kernel
  /// refuses to set the far one up here (ENOTCONN).
  ///
  /// - Parameter mtu: of both ends; nil: 1500.
  public mutating func addVethPair(_ near: VethEnd, _ far: VethEnd, mtu: UInt32? = nil) {
    append(.newLink, [.create, .exclusive], ifinfomsg(near.index ?? 0)) { batch in
      batch.put(near, mtu)
      batch.nest(AttributeType(IFLA_LINKINFO)) { batch in
        batch.put(AttributeType(IFLA_INFO_KIND), "veth")
        batch.nest(AttributeType(IFLA_INFO_DATA)) { batch in
          batch.nest(AttributeType(VETH_INFO_PEER)) { batch in
            batch.putRaw(ifinfomsg(far.index ?? 0))
            batch.put(far, mtu)
          }
        }
      }
    }
  }

  private mutating func put(_ end: VethEnd, _ mtu: UInt32?) {
    put(AttributeType(IFLA_IFNAME), end.name.text)
    if let mac = end.mac { put(AttributeType(IFLA_ADDRESS), mac.bytes) }
    if let mtu { put(AttributeType(IFLA_MTU), mtu) }
    if let namespace = end.namespace {
      put(AttributeType(IFLA_NET_NS_FD), UInt32(bitPattern: namespace.fileDescriptor))
    }
  }

  /// A bridge without spanning tree, so a port forwards as soon as it is up.
  ///
  /// - Parameter multicastSnooping: off unless wanted: with no querier it delays IPv6 neighbour discovery.
  public mutating func addBridge(
    _ name: InterfaceName, index: InterfaceIndex? = nil, mac: MACAddress? = nil, in namespace: Namespace? = nil,
    multicastSnooping: Bool = false
  ) {
    append(.newLink, [.create, .exclusive], ifinfomsg(index ?? 0)) { batch in
      batch.put(AttributeType(IFLA_IFNAME), name.text)
      if let mac { batch.put(AttributeType(IFLA_ADDRESS), mac.bytes) }
      if let namespace { batch.put(AttributeType(IFLA_NET_NS_FD), UInt32(bitPattern: namespace.fileDescriptor)) }
      batch.nest(AttributeType(IFLA_LINKINFO)) { batch in
        batch.put(AttributeType(IFLA_INFO_KIND), "bridge")
        batch.nest(AttributeType(IFLA_INFO_DATA)) { batch in
          batch.put(AttributeType(IFLA_BR_STP_STATE), UInt32(0))
          batch.put(AttributeType(IFLA_BR_MCAST_SNOOPING), UInt8(multicastSnooping ? 1 : 0))
        }
      }
    }
  }

  /// What a link gets by `setLink`; what is nil stays as it is.
  public struct LinkChange: Sendable {
    public var up: Bool?
    public var mtu: UInt32?
    public var mac: MACAddress?
    public var name: InterfaceName?
    /// The bridge it becomes a port of; 0 takes it out.
    public var master: InterfaceIndex?
    /// Whether the kernel gives it an IPv6 link-local address of its own when it comes up.
    public var linkLocalAddress: Bool?

    public init(
      up: Bool? = nil, mtu: UInt32? = nil, mac: MACAddress? = nil, name: InterfaceName? = nil,
      master: InterfaceIndex? = nil, linkLocalAddress: Bool? = nil
    ) {
      self.up = up
      self.mtu = mtu
      self.mac = mac
      self.name = name
      self.master = master
      self.linkLocalAddress = linkLocalAddress
    }
  }

  public mutating func setLink(_ index: InterfaceIndex, _ change: LinkChange) {
    var header = ifinfomsg(index)
    if let up = change.up {
      header.ifi_change = UInt32(IFF_UP)
      header.ifi_flags = up ? UInt32(IFF_UP) : 0
    }
    append(.newLink, [], header) { batch in
      if let mtu = change.mtu { batch.put(AttributeType(IFLA_MTU), mtu) }
      if let mac = change.mac { batch.put(AttributeType(IFLA_ADDRESS), mac.bytes) }
      if let name = change.name { batch.put(AttributeType(IFLA_IFNAME), name.text) }
      if let master = change.master { batch.put(AttributeType(IFLA_MASTER), master.rawValue) }
      if let wanted = change.linkLocalAddress {
        batch.nest(AttributeType(IFLA_AF_SPEC)) { batch in
          batch.nest(AttributeType(AF_INET6)) { batch in
            batch.put(
              AttributeType(IFLA_INET6_ADDR_GEN_MODE),
              UInt8(wanted ? IN6_ADDR_GEN_MODE_EUI64.rawValue : IN6_ADDR_GEN_MODE_NONE.rawValue))
          }
        }
      }
    }
  }

  public mutating func setLink(_ index: InterfaceIndex, up: Bool) { setLink(index, LinkChange(up: up)) }

  /// Takes an interface away; of a veth pair the other end goes too.
  public mutating func deleteLink(_ index: InterfaceIndex) { append(.deleteLink, [], ifinfomsg(index)) }
}
