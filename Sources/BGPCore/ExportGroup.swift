import BGPWire
import NetTypes

/// Peers that are told the same words. What is sent for a path is worked out and encoded once per group, and then is
/// one number: an id of the table of outgoing attribute sets.
struct ExportGroup: ~Copyable {
  /// Everything that the encoding depends on besides the path.
  struct Key: Hashable {
    var isExternal: Bool
    var isClient: Bool
    var relation: Relation
    var roles: Bool
    var policy: PolicyReference
    /// Policies may ask for it.
    var neighbor: String
    var nextHopSelf: Bool
    var nextHopIPv4: IPv4Address?
    var nextHopIPv6: IPv6Address?
    var privateASRemoval: PrivateASRemoval
    var sendCommunities: Bool
    var hasFourOctetAS: Bool
    /// eBGP: the third-party next hop and private number rules look at them.
    var peerAddress: IPAddress?
    var peerASN: ASNumber
    var isMultihop: Bool
  }

  /// Memo values: not worked out yet, and nothing is sent.
  static let unknown: UInt32 = 0
  static let nothing: UInt32 = .max

  let key: Key
  let binding: PolicyBinding
  var members = 0
  /// Outgoing set by path id.
  private var memo = Slab<UInt32>()
  /// Outgoing set by path id and prefix class, where the policy asks for prefixes.
  private var memoByClass: [UInt32: [UInt32: UInt32]] = [:]

  init(_ key: Key, _ binding: PolicyBinding) {
    self.key = key
    self.binding = binding
  }

  @inline(__always) func outgoing(_ path: UInt32, _ prefixClass: UInt32) -> UInt32 {
    if prefixClass == 0 { return Int(path) < memo.count ? memo[path] : Self.unknown }
    return memoByClass[path]?[prefixClass] ?? Self.unknown
  }

  mutating func remember(_ outgoing: UInt32, _ path: UInt32, _ prefixClass: UInt32) {
    if prefixClass == 0 {
      memo.extend(to: Int(path) + 1, with: Self.unknown)
      memo[path] = outgoing
    } else {
      memoByClass[path, default: [:]][prefixClass] = outgoing
    }
  }

  /// Takes the path's results out; each is handed to `body` to be released.
  mutating func forget(_ path: UInt32, _ body: (UInt32) -> Void) {
    if Int(path) < memo.count {
      let outgoing = memo[path]
      memo[path] = Self.unknown
      if outgoing != Self.unknown, outgoing != Self.nothing { body(outgoing) }
    }
    guard !memoByClass.isEmpty, let results = memoByClass.removeValue(forKey: path) else { return }
    for outgoing in results.values where outgoing != Self.nothing { body(outgoing) }
  }

  mutating func forgetAll(_ body: (UInt32) -> Void) {
    for path in 0..<UInt32(truncatingIfNeeded: memo.count) { forget(path, body) }
    for path in Array(memoByClass.keys) { forget(path, body) }
    memo.discard()
  }
}
