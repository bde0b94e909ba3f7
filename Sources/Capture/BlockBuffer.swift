/// The bytes of pcapng blocks under construction; lengths are patched in by closures, never counted.
struct BlockBuffer {
  private(set) var bytes: [UInt8] = []

  mutating func append16(_ value: UInt16) { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }
  mutating func append32(_ value: UInt32) { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }
  mutating func append64(_ value: UInt64) { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }

  /// A time as two 32-bit halves, the high one first in every byte order.
  mutating func appendTime(_ nanoseconds: UInt64) {
    append32(UInt32(nanoseconds >> 32))
    append32(UInt32(truncatingIfNeeded: nanoseconds))
  }

  mutating func append(_ raw: UnsafeRawBufferPointer) { bytes.append(contentsOf: raw) }

  mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }

  mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

  /// A block: type, total length, body, total length again.
  mutating func block(_ type: PcapngBlock, _ body: (inout BlockBuffer) -> Void) {
    append32(type.rawValue)
    let place = bytes.count
    append32(0)
    body(&self)
    let length = UInt32(bytes.count - place + 8)
    withUnsafeBytes(of: length) { bytes.replaceSubrange(place..<place + 4, with: $0) }
    append32(length)
  }

  /// An option: code, length of the value without padding, value.
  mutating func option(_ code: UInt16, _ body: (inout BlockBuffer) -> Void) {
    append16(code)
    let place = bytes.count
    append16(0)
    body(&self)
    let length = UInt16(bytes.count - place - 2)
    withUnsafeBytes(of: length) { bytes.replaceSubrange(place..<place + 2, with: $0) }
    pad()
  }

  /// A text option, cut to what its length field can say; nothing for an empty text.
  mutating func option(_ code: UInt16, text: String) {
    guard !text.isEmpty else { return }
    option(code) { $0.bytes.append(contentsOf: text.utf8.prefix(Int(UInt16.max) - 3)) }
  }

  mutating func endOfOptions() { append32(0) }
}

/// Block types of pcapng (draft-ietf-opsawg-pcapng, section 11.1).
struct PcapngBlock: RawRepresentable, Equatable {
  let rawValue: UInt32
  static let sectionHeader = PcapngBlock(rawValue: 0x0A0D_0D0A)
  static let interfaceDescription = PcapngBlock(rawValue: 1)
  static let interfaceStatistics = PcapngBlock(rawValue: 5)
  static let enhancedPacket = PcapngBlock(rawValue: 6)
}

/// Option codes; numbers below 10 mean different things in different blocks.
enum PcapngOption {
  static let comment: UInt16 = 1
  static let sectionHardware: UInt16 = 2
  static let sectionOS: UInt16 = 3
  static let sectionApplication: UInt16 = 4
  static let interfaceName: UInt16 = 2
  static let interfaceDescription: UInt16 = 3
  static let interfaceMAC: UInt16 = 6
  static let interfaceResolution: UInt16 = 9
  static let interfaceFilter: UInt16 = 11
  static let packetFlags: UInt16 = 2
  static let statisticsStart: UInt16 = 2
  static let statisticsEnd: UInt16 = 3
  static let statisticsReceived: UInt16 = 4
  static let statisticsDropped: UInt16 = 5
}
