internal import BGPWire
internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes

// Addresses and prefixes between messages (raw network-order bytes) and values.

extension IPAddress {
  /// nil: not 4 or 16 bytes.
  init?(_ data: Data) {
    guard let address = IPAddress(bytes: data) else { return nil }
    self = address
  }

  var data: Data { Data(bytes) }
}

extension IPPrefix {
  /// nil: no such prefix. Host bits are an error of the sender, not to be hidden.
  init?(_ message: NLPrefix) {
    guard let address = IPAddress(message.address),
      let prefix = IPPrefix(address, length: Int(message.length)), prefix.address == address
    else { return nil }
    self = prefix
  }
}

extension NLPrefix {
  init(_ prefix: IPPrefix) {
    self.init()
    address = prefix.address.data
    length = UInt32(prefix.length)
  }

  init(_ address: InterfaceAddress) {
    self.init()
    self.address = address.address.data
    length = UInt32(address.length)
  }
}

extension NLFamily {
  init(_ family: Family) {
    switch family {
    case .ipv4Unicast: self = .ipv4Unicast
    case .ipv6Unicast: self = .ipv6Unicast
    case .ipv4FlowSpec: self = .ipv4Flowspec
    case .ipv6FlowSpec: self = .ipv6Flowspec
    }
  }
}
