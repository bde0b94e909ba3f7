internal import CLinux

/// The name of a qdisc or of a class in one: `major:minor`, both hexadecimal as tc(8) writes them (linux/pkt_sched.h,
/// TC_H_*). A qdisc has minor 0; a class has the major of its qdisc.
///
/// HTB takes a packet into the class whose handle stands in its priority (`meta priority set 1:10` in nftables).
public struct TrafficHandle: RawRepresentable, Hashable, Comparable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public init(_ major: UInt16, _ minor: UInt16 = 0) { rawValue = UInt32(major) << 16 | UInt32(minor) }

  public var major: UInt16 { UInt16(rawValue >> 16) }
  public var minor: UInt16 { UInt16(truncatingIfNeeded: rawValue) }

  /// As a parent: the place of the interface's outermost qdisc (TC_H_ROOT).
  public static let root = TrafficHandle(rawValue: TC_H_ROOT)
  /// As a parent: the place of `ingress` and `clsact` (TC_H_INGRESS, the same number as TC_H_CLSACT).
  public static let ingress = TrafficHandle(rawValue: TC_H_INGRESS)
  /// Of a qdisc to be made: the kernel chooses. Of a qdisc that stands: the kernel's default, which nobody set.
  public static let none = TrafficHandle(rawValue: TC_H_UNSPEC)

  public static func < (a: TrafficHandle, b: TrafficHandle) -> Bool { a.rawValue < b.rawValue }
}

extension TrafficHandle: CustomStringConvertible {
  public var description: String {
    switch self {
    case .root: "root"
    case .none: "none"
    default: String(major, radix: 16) + ":" + (minor == 0 ? "" : String(minor, radix: 16))
    }
  }

  /// `root`, `none`, `1:`, `1:a`; nil for anything else.
  public init?(_ text: String) {
    switch text {
    case "root": self = .root
    case "none": self = .none
    default:
      let parts = text.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count == 2, let major = UInt16(parts[0], radix: 16) else { return nil }
      guard let minor = parts[1].isEmpty ? 0 : UInt16(parts[1], radix: 16) else { return nil }
      self.init(major, minor)
    }
  }
}
