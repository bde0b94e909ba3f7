public import NetTypes

/// What a value in a set is, so that `nft list` prints it as people write it (enum datatypes of nftables'
/// include/datatype.h; the kernel stores the number and does not read it).
public struct DataType: Hashable, Sendable {
  public let number: UInt32
  /// Bytes of a value; a field of a concatenation is padded to a multiple of four.
  public let length: Int
  /// Held in this machine's byte order rather than the network's.
  public let isHostOrder: Bool

  public init(number: UInt32, length: Int, isHostOrder: Bool = false) {
    self.number = number
    self.length = length
    self.isHostOrder = isHostOrder
  }

  /// Any number, in network order.
  public static func integer(_ length: Int) -> DataType { DataType(number: 4, length: length) }
  /// Any number, in host order: what numgen and the hash give.
  public static let hostInteger = DataType(number: 4, length: 4, isHostOrder: true)
  public static let ipv4Address = DataType(number: 7, length: 4)
  public static let ipv6Address = DataType(number: 8, length: 16)
  public static let macAddress = DataType(number: 9, length: 6)
  public static let transportProtocol = DataType(number: 12, length: 1)
  public static let port = DataType(number: 13, length: 2)
  public static let mark = DataType(number: 19, length: 4, isHostOrder: true)
  /// A traffic control handle, e.g. 1:10.
  public static let classID = DataType(number: 23, length: 4, isHostOrder: true)
  public static let userID = DataType(number: 24, length: 4, isHostOrder: true)
  public static let connectionState = DataType(number: 26, length: 4, isHostOrder: true)
  public static let dscp = DataType(number: 36, length: 1)
  public static let interfaceName = DataType(number: 41, length: 16, isHostOrder: true)

  public static func address(_ family: AddressFamily) -> DataType { family == .ipv4 ? .ipv4Address : .ipv6Address }

  /// Bits of one member of a concatenation in its type number (TYPE_BITS of nftables).
  static let bitsOfOne: UInt32 = 6

  /// Several in one: their numbers side by side, their lengths padded.
  static func number(of fields: [DataType]) -> UInt32 {
    fields.reduce(0) { $0 << bitsOfOne | $1.number }
  }

  static func length(of fields: [DataType]) -> Int {
    fields.count == 1 ? fields[0].length : fields.reduce(0) { $0 + ($1.length + 3) & ~3 }
  }
}

/// Bytes of values as they lie in registers and sets.
public enum Datum {
  public static func address(_ address: IPAddress) -> [UInt8] { address.bytes }
  public static func port(_ port: UInt16) -> [UInt8] { withUnsafeBytes(of: port.bigEndian) { Array($0) } }
  public static func number(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
  public static func hostNumber(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
  /// Padded with zeros to IFNAMSIZ.
  public static func interface(_ name: InterfaceName) -> [UInt8] {
    Array(name.text.utf8) + [UInt8](repeating: 0, count: DataType.interfaceName.length - name.text.utf8.count)
  }

  /// Fields side by side, each padded to a multiple of four bytes.
  public static func concatenation(_ fields: [[UInt8]]) -> [UInt8] {
    fields.count == 1
      ? fields[0] : fields.flatMap { $0 + [UInt8](repeating: 0, count: (4 - $0.count % 4) % 4) }
  }
}

extension IPPrefix {
  /// The last address.
  var last: IPAddress {
    switch address {
    case .v4(let first):
      .v4(IPv4Address(rawValue: first.rawValue | (length == 0 ? UInt32.max : (1 << UInt32(32 - length)) - 1)))
    case .v6(let first):
      .v6(
        IPv6Address(
          high: first.high | (length >= 64 ? 0 : UInt64.max >> UInt64(length)),
          low: first.low | (length <= 64 ? UInt64.max : length == 128 ? 0 : UInt64.max >> UInt64(length - 64))))
    }
  }
}
