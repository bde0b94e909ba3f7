internal import CLinux
public import NetTypes

/// What a base chain does with packets (NFTA_CHAIN_TYPE).
public struct ChainKind: RawRepresentable, Hashable, Sendable {
  public var rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }

  public static let filter = ChainKind(rawValue: "filter")
  /// Sees the first packet of each connection only; conntrack remembers the outcome.
  public static let nat = ChainKind(rawValue: "nat")
  /// Filters output and routes again when a mark or an address changed.
  public static let route = ChainKind(rawValue: "route")
}

/// Where in the stack a base chain sees packets (NFTA_HOOK_HOOKNUM). The numbers mean hooks of the table's family.
public struct Hook: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let prerouting = Hook(rawValue: 0)
  public static let input = Hook(rawValue: 1)
  public static let forward = Hook(rawValue: 2)
  public static let output = Hook(rawValue: 3)
  public static let postrouting = Hook(rawValue: 4)
  /// Of the family inet (NF_INET_INGRESS).
  public static let inetIngress = Hook(rawValue: 5)
  /// Of the family netdev (NF_NETDEV_INGRESS, NF_NETDEV_EGRESS).
  public static let ingress = Hook(rawValue: 0)
  public static let egress = Hook(rawValue: 1)
}

/// Order among the chains of one hook: the smallest is asked first (NFTA_HOOK_PRIORITY).
public struct ChainPriority: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral {
  public var rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  public init(integerLiteral value: Int32) { rawValue = value }

  // enum nf_ip_hook_priorities of linux/netfilter_ipv4.h. Conntrack itself sits at -200.
  public static let raw: ChainPriority = -300
  public static let mangle: ChainPriority = -150
  public static let destinationNAT: ChainPriority = -100
  public static let filter: ChainPriority = 0
  public static let security: ChainPriority = 50
  public static let sourceNAT: ChainPriority = 100
}

/// What becomes of a packet that no rule of a base chain decided (NFTA_CHAIN_POLICY).
public enum ChainPolicy: UInt32, Hashable, Sendable {
  case drop = 0
  case accept = 1
}

/// What makes a chain a base chain.
public struct BaseChain: Hashable, Sendable {
  public var kind: ChainKind
  public var hook: Hook
  public var priority: ChainPriority
  public var policy: ChainPolicy
  /// Ingress and egress only; sorted.
  public var devices: [InterfaceName]

  public init(
    _ kind: ChainKind, _ hook: Hook, _ priority: ChainPriority, policy: ChainPolicy = .accept,
    devices: [InterfaceName] = []
  ) {
    self.kind = kind
    self.hook = hook
    self.priority = priority
    self.policy = policy
    self.devices = devices.sorted { $0.text < $1.text }
  }

  /// The same hook: what differs, if anything, can be changed in place.
  func standsWhere(_ other: BaseChain) -> Bool {
    kind == other.kind && hook == other.hook && priority == other.priority && devices == other.devices
  }
}

/// An ordered list of rules.
public struct Chain: Hashable, Sendable {
  /// At most 255 bytes (NFT_CHAIN_MAXNAMELEN).
  public var name: String
  /// nil: reached by jump and goto only.
  public var base: BaseChain?
  public var rules: [Rule]

  public init(_ name: String, _ base: BaseChain? = nil, rules: [Rule] = []) {
    self.name = name
    self.base = base
    self.rules = rules
  }
}

/// What tells one chain from another within a namespace.
public struct ChainID: Hashable, Sendable {
  public var table: TableID
  public var name: String

  public init(_ table: TableID, _ name: String) {
    self.table = table
    self.name = name
  }
}

extension ChainID: CustomStringConvertible {
  public var description: String { "\(table) \(name)" }
}
