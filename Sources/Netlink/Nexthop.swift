internal import CLinux
import Glibc
public import NetTypes

/// Number of a nexthop object within its namespace.
public struct NexthopID: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// A nexthop object (`ip nexthop`): one way out, or a group of them. Routes name it by number, so that replacing one
/// object moves every route that names it.
public struct Nexthop: Hashable, Sendable {
  /// A member of a group.
  public struct Member: Hashable, Sendable {
    public var id: NexthopID
    /// 1...65536 (256 before kernel 6.12).
    public var weight: UInt32

    public init(_ id: NexthopID, weight: UInt32 = 1) {
      self.id = id
      self.weight = weight
    }
  }

  public enum Target: Hashable, Sendable {
    /// A neighbour on an interface; without a gateway the destination itself is on the link.
    case gateway(IPAddress?, InterfaceIndex)
    case group([Member])
    case blackhole
  }

  public var id: NexthopID
  public var target: Target
  /// Family of the gateway. An IPv4 route may use an IPv6 one, not the other way round. A group has none.
  public var family: AddressFamily?
  public var `protocol`: RouteProtocol

  public init(id: NexthopID, target: Target, family: AddressFamily?, protocol: RouteProtocol = .bgp) {
    self.id = id
    self.target = target
    self.family = family
    self.protocol = `protocol`
  }
}

extension Nexthop {
  init?(_ message: Message) {
    guard let header = message.header(as: nhmsg.self) else { return nil }
    var id: NexthopID?
    var link: InterfaceIndex?
    var gateway: IPAddress?
    var members: [Member]?
    var blackhole = false
    for attribute in message.attributes(after: nhmsg.self) {
      switch Int(attribute.type.rawValue) {
      case NHA_ID: id = attribute.integer().map(NexthopID.init(rawValue:))
      case NHA_OIF: link = attribute.integer().map(InterfaceIndex.init(rawValue:))
      case NHA_GATEWAY: gateway = attribute.address
      case NHA_GROUP: members = Self.members(attribute.value)
      case NHA_BLACKHOLE: blackhole = true
      default: break
      }
    }
    guard let id else { return nil }
    let target: Target
    if let members {
      target = .group(members)
    } else if let link {
      target = .gateway(gateway, link)
    } else if blackhole {
      target = .blackhole
    } else {
      return nil
    }
    self.init(
      id: id, target: target, family: AddressFamily(number: header.nh_family),
      protocol: RouteProtocol(rawValue: header.nh_protocol))
  }

  private static func members(_ bytes: UnsafeRawBufferPointer) -> [Member] {
    let size = MemoryLayout<nl_nexthop_member>.size
    return (0..<bytes.count / size).map { index in
      let member = bytes.loadUnaligned(fromByteOffset: index * size, as: nl_nexthop_member.self)
      return Member(
        NexthopID(rawValue: member.id),
        weight: (UInt32(member.weight_high) << 8 | UInt32(member.weight_less_one)) + 1)
    }
  }
}

extension MessageBatch {
  /// Makes a nexthop object, or replaces the one of that number in place. A single one cannot be replaced by a group,
  /// nor a group by a single one.
  /// - Parameter create: false: only one that is there is replaced; otherwise ENOENT.
  public mutating func setNexthop(_ nexthop: Nexthop, create: Bool = true) {
    var header = nhmsg()
    header.nh_protocol = nexthop.protocol.rawValue
    header.nh_family = nexthop.family?.number ?? UInt8(AF_UNSPEC)
    append(.newNexthop, create ? [.create, .replace] : [.replace], header) { batch in
      batch.put(AttributeType(NHA_ID), nexthop.id.rawValue)
      switch nexthop.target {
      case .gateway(let gateway, let link):
        batch.put(AttributeType(NHA_OIF), link.rawValue)
        if let gateway { batch.put(AttributeType(NHA_GATEWAY), gateway) }
      case .blackhole:
        batch.put(AttributeType(NHA_BLACKHOLE), [])
      case .group(let members):
        batch.nest(AttributeType(NHA_GROUP), flagged: false) { batch in
          for member in members {
            let less = UInt16(clamping: max(1, member.weight) - 1)
            batch.putRaw(
              nl_nexthop_member(
                id: member.id.rawValue, weight_less_one: UInt8(less & 255), weight_high: UInt8(less >> 8),
                reserved: 0))
          }
        }
      }
    }
  }

  /// Takes a nexthop object away, and with it the routes that name it.
  public mutating func deleteNexthop(_ id: NexthopID) {
    append(.deleteNexthop, [], nhmsg()) { $0.put(AttributeType(NHA_ID), id.rawValue) }
  }
}

extension NetlinkSocket {
  /// Every nexthop object of the namespace.
  public func nexthops() throws(KernelError) -> [Nexthop] {
    try dump(.getNexthop, nhmsg(), decode: Nexthop.init)
  }
}
