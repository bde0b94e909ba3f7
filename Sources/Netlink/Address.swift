internal import CLinux
import Glibc
public import NetTypes

/// An address on an interface (`ip addr`).
public struct LinkAddress: Hashable, Sendable {
  public var link: InterfaceIndex
  public var address: InterfaceAddress
  /// Duplicate address detection has not finished (IFA_F_TENTATIVE).
  public var isTentative = false
  /// Duplicate address detection found it elsewhere (IFA_F_DADFAILED).
  public var isDuplicate = false
  /// Ends by itself: a router's advertisement or DHCP gave it (IFA_F_PERMANENT is not set).
  public var isTemporary = false

  public init(link: InterfaceIndex, address: InterfaceAddress) {
    self.link = link
    self.address = address
  }
}

extension LinkAddress {
  init?(_ message: Message) {
    guard let header = message.header(as: ifaddrmsg.self) else { return nil }
    var flags = UInt32(header.ifa_flags)
    var local: IPAddress?
    var prefixAddress: IPAddress?
    for attribute in message.attributes(after: ifaddrmsg.self) {
      switch Int(attribute.type.rawValue) {
      case IFA_LOCAL: local = attribute.address
      case IFA_ADDRESS: prefixAddress = attribute.address
      case IFA_FLAGS: flags = attribute.integer() ?? flags
      default: break
      }
    }
    // IPv4 writes the own address to IFA_LOCAL and a point-to-point peer to IFA_ADDRESS; IPv6 often only IFA_ADDRESS.
    guard let own = local ?? prefixAddress, let address = InterfaceAddress(own, length: Int(header.ifa_prefixlen))
    else { return nil }
    self.init(link: InterfaceIndex(rawValue: header.ifa_index), address: address)
    isTemporary = flags & UInt32(IFA_F_PERMANENT) == 0
    isTentative = flags & UInt32(IFA_F_TENTATIVE) != 0
    isDuplicate = flags & UInt32(IFA_F_DADFAILED) != 0
  }
}

extension MessageBatch {
  /// Gives an interface an address, usable at once: no duplicate address detection (IFA_F_NODAD), which would hold a
  /// fresh IPv6 address back for more than a second.
  public mutating func addAddress(_ address: InterfaceAddress, to link: InterfaceIndex) {
    append(.newAddress, [.create, .replace], ifaddrmsg(address, link)) { batch in
      batch.put(AttributeType(IFA_LOCAL), address.address)
      batch.put(AttributeType(IFA_ADDRESS), address.address)
      batch.put(AttributeType(IFA_FLAGS), UInt32(IFA_F_NODAD | IFA_F_PERMANENT))
    }
  }

  public mutating func deleteAddress(_ address: InterfaceAddress, from link: InterfaceIndex) {
    append(.deleteAddress, [], ifaddrmsg(address, link)) { batch in
      batch.put(AttributeType(IFA_LOCAL), address.address)
      batch.put(AttributeType(IFA_ADDRESS), address.address)
    }
  }
}

extension NetlinkSocket {
  /// Every address of the namespace, or of one interface.
  public func addresses(of link: InterfaceIndex? = nil) throws(KernelError) -> [LinkAddress] {
    var header = ifaddrmsg()
    header.ifa_index = link?.rawValue ?? 0
    let found = try dump(.getAddress, header, decode: LinkAddress.init)
    guard let link else { return found }
    return found.filter { $0.link == link }  // kernels before 4.20 do not filter
  }
}

extension ifaddrmsg {
  init(_ address: InterfaceAddress, _ link: InterfaceIndex) {
    self.init()
    ifa_family = address.address.family.number
    ifa_prefixlen = address.length
    ifa_index = link.rawValue
    ifa_scope = address.address.isLoopback ? UInt8(RT_SCOPE_HOST.rawValue) : UInt8(RT_SCOPE_UNIVERSE.rawValue)
  }
}

extension AddressFamily {
  /// AF_INET or AF_INET6.
  var number: UInt8 { self == .ipv4 ? UInt8(AF_INET) : UInt8(AF_INET6) }

  init?(number: UInt8) {
    switch Int32(number) {
    case AF_INET: self = .ipv4
    case AF_INET6: self = .ipv6
    default: return nil
    }
  }
}
