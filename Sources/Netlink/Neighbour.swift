internal import CLinux
import Glibc
public import NetTypes

/// An entry of the neighbour table (`ip neigh`).
public struct Neighbour: Hashable, Sendable {
  public var link: InterfaceIndex
  public var address: IPAddress
  public var mac: MACAddress?
  /// Never looked for and never forgotten (NUD_PERMANENT).
  public var isPermanent: Bool

  public init(link: InterfaceIndex, address: IPAddress, mac: MACAddress?, isPermanent: Bool = true) {
    self.link = link
    self.address = address
    self.mac = mac
    self.isPermanent = isPermanent
  }

  init?(_ message: Message) {
    guard let header = message.header(as: ndmsg.self) else { return nil }
    var address: IPAddress?
    var mac: MACAddress?
    for attribute in message.attributes(after: ndmsg.self) {
      switch Int(attribute.type.rawValue) {
      case NDA_DST: address = attribute.address
      case NDA_LLADDR: mac = MACAddress(bytes: attribute.value)
      default: break
      }
    }
    guard let address else { return nil }
    self.init(
      link: InterfaceIndex(rawValue: UInt32(bitPattern: header.ndm_ifindex)), address: address, mac: mac,
      isPermanent: header.ndm_state & UInt16(NUD_PERMANENT) != 0)
  }
}

extension MessageBatch {
  /// A permanent entry: no ARP or neighbour discovery, and it does not count against the machine's table limit.
  public mutating func addPermanentNeighbour(_ address: IPAddress, mac: MACAddress, on link: InterfaceIndex) {
    var header = ndmsg(address, link)
    header.ndm_state = UInt16(NUD_PERMANENT)
    append(.newNeighbour, [.create, .replace], header) { batch in
      batch.put(AttributeType(NDA_DST), address)
      batch.put(AttributeType(NDA_LLADDR), mac.bytes)
    }
  }

  public mutating func deleteNeighbour(_ address: IPAddress, on link: InterfaceIndex) {
    append(.deleteNeighbour, [], ndmsg(address, link)) { $0.put(AttributeType(NDA_DST), address) }
  }
}

extension NetlinkSocket {
  /// Every neighbour entry of the namespace, both families.
  public func neighbours() throws(KernelError) -> [Neighbour] {
    try dump(.getNeighbour, ndmsg(), decode: Neighbour.init)
  }
}

extension ndmsg {
  init(_ address: IPAddress, _ link: InterfaceIndex) {
    self.init()
    ndm_family = address.family.number
    ndm_ifindex = Int32(bitPattern: link.rawValue)
  }
}
