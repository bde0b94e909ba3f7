internal import NetTypes

/// Prefix → slot of its next hops. Integer keys: half a million entries take 16 MiB and hash in one multiplication's time.
struct PrefixTable {
  private struct Key4: Hashable {
    /// Address in the high half, length in the low one.
    var packed: UInt64

    init(_ address: IPv4Address, _ length: UInt8) { packed = UInt64(address.rawValue) << 32 | UInt64(length) }
  }

  private struct Key6: Hashable {
    var high: UInt64
    var low: UInt64
    var length: UInt8
  }

  private var v4: [Key4: UInt32] = [:]
  private var v6: [Key6: UInt32] = [:]

  subscript(_ prefix: IPPrefix) -> UInt32? {
    switch prefix.address {
    case .v4(let address): v4[Key4(address, prefix.length)]
    case .v6(let address): v6[Key6(high: address.high, low: address.low, length: prefix.length)]
    }
  }

  /// The slot it had before.
  mutating func update(_ prefix: IPPrefix, to slot: UInt32) -> UInt32? {
    switch prefix.address {
    case .v4(let address): v4.updateValue(slot, forKey: Key4(address, prefix.length))
    case .v6(let address):
      v6.updateValue(slot, forKey: Key6(high: address.high, low: address.low, length: prefix.length))
    }
  }

  mutating func remove(_ prefix: IPPrefix) -> UInt32? {
    switch prefix.address {
    case .v4(let address): v4.removeValue(forKey: Key4(address, prefix.length))
    case .v6(let address):
      v6.removeValue(forKey: Key6(high: address.high, low: address.low, length: prefix.length))
    }
  }

  func forEach(_ body: (IPPrefix, UInt32) -> Void) {
    for (key, slot) in v4 {
      let address = IPv4Address(rawValue: UInt32(key.packed >> 32))
      if let prefix = IPPrefix(.v4(address), length: Int(key.packed & 255)) { body(prefix, slot) }
    }
    for (key, slot) in v6 {
      let address = IPv6Address(high: key.high, low: key.low)
      if let prefix = IPPrefix(.v6(address), length: Int(key.length)) { body(prefix, slot) }
    }
  }
}
