internal import CLinux
import Glibc

/// Where filters of packets hang (`tc filter`), and how they are told apart: all of one priority are one here. What they
/// match and do stays with the kernel.
public struct TrafficFilter: Hashable, Sendable {
  public var link: InterfaceIndex
  /// The qdisc or class whose packets are classified.
  public var parent: TrafficHandle
  /// TCA_CHAIN.
  public var chain: UInt32
  /// `pref` of tc: smaller is asked first.
  public var priority: UInt16
  /// ETH_P_*.
  public var etherType: UInt16
  /// `u32`, `bpf`, …
  public var kind: String
}

extension TrafficFilter {
  init?(_ message: Message) {
    guard let header = message.header(as: tcmsg.self) else { return nil }
    self.init(
      link: InterfaceIndex(rawValue: UInt32(bitPattern: header.tcm_ifindex)),
      parent: TrafficHandle(rawValue: header.tcm_parent), chain: 0, priority: UInt16(header.tcm_info >> 16),
      etherType: UInt16(truncatingIfNeeded: header.tcm_info).byteSwapped, kind: "")
    for attribute in message.attributes(after: tcmsg.self) {
      switch Int(attribute.type.rawValue) {
      case TCA_KIND: kind = attribute.string
      case TCA_CHAIN: chain = attribute.integer(UInt32.self) ?? 0
      default: break
      }
    }
  }
}

extension NetlinkSocket {
  /// What hangs from a qdisc or class, each priority once. A kernel without filters has none.
  public func filters(of link: InterfaceIndex, under parent: TrafficHandle) throws(KernelError) -> [TrafficFilter] {
    let found: [TrafficFilter]
    do throws(KernelError) {
      found = try dump(.getFilter, tcmsg(link, parent: parent), decode: TrafficFilter.init)
    } catch {
      guard error.number == EOPNOTSUPP || error.isNotThere else { throw error }
      return []
    }
    var known: Set<TrafficFilter> = []
    return found.filter { known.insert($0).inserted }
  }
}

extension MessageBatch {
  /// All of its priority.
  public mutating func deleteFilter(_ filter: TrafficFilter) {
    var header = tcmsg(filter.link, parent: filter.parent)
    header.tcm_info = UInt32(filter.priority) << 16 | UInt32(filter.etherType.byteSwapped)
    append(.deleteFilter, [], header) { batch in
      batch.put(AttributeType(TCA_KIND), filter.kind)
      if filter.chain > 0 { batch.put(AttributeType(TCA_CHAIN), filter.chain) }
    }
  }
}
