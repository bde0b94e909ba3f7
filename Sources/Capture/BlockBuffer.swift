/// The bytes of pcapng blocks under construction; lengths are patched in by closures, never counted.
struct BlockBuffer: ~Copyable {
  private var base: UnsafeMutableRawPointer
  private var capacity: Int
  private(set) var count = 0

  init(capacity: Int = 1024) {
    self.capacity = max(64, capacity)
    base = .allocate(byteCount: self.capacity, alignment: 8)
  }

  deinit { base.deallocate() }

  /// Valid until the next change.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// Room for as many bytes at the end, which count from now on; their content is the caller's to write.
  mutating func grow(_ size: Int) -> UnsafeMutableRawPointer {
    if count + size > capacity {
      capacity = max(capacity * 2, count + size)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
      larger.copyMemory(from: base, byteCount: count)
      base.deallocate()
      base = larger
    }
    defer { count += size }
    return base + count
  }

  mutating func append16(_ value: UInt16) { grow(2).storeBytes(of: value, as: UInt16.self) }
  mutating func append32(_ value: UInt32) { grow(4).storeBytes(of: value, as: UInt32.self) }
  mutating func append64(_ value: UInt64) { grow(8).storeBytes(of: value, as: UInt64.self) }

  /// A time as two 32-bit halves, the high one first in every byte order.
  mutating func appendTime(_ nanoseconds: UInt64) {
    append32(UInt32(nanoseconds >> 32))
    append32(UInt32(truncatingIfNeeded: nanoseconds))
  }

  mutating func append(_ raw: UnsafeRawBufferPointer) {
    guard let source = raw.baseAddress, !raw.isEmpty else { return }
    grow(raw.count).copyMemory(from: source, byteCount: raw.count)
  }

  mutating func append(utf8 text: Substring.UTF8View) {
    for byte in text { grow(1).storeBytes(of: byte, as: UInt8.self) }
  }

  mutating func pad() {
    let size = -count & 3
    grow(size).initializeMemory(as: UInt8.self, repeating: 0, count: size)
  }

  mutating func removeAll() { count = 0 }

  /// Takes away what stands before `place`.
  mutating func removeFirst(_ place: Int) {
    base.copyMemory(from: base + place, byteCount: count - place)
    count -= place
  }

  /// Room that is there without taking new memory.
  var room: Int { capacity - count }

  /// Writes over a number that stands there already.
  mutating func patch<Value: FixedWidthInteger & BitwiseCopyable>(_ place: Int, _ value: Value) {
    (base + place).storeBytes(of: value, as: Value.self)
  }

  /// A block: type, total length, body, total length again.
  mutating func block(_ type: PcapngBlock, _ body: (inout BlockBuffer) -> Void) {
    append32(type.rawValue)
    let place = count
    append32(0)
    body(&self)
    let length = UInt32(count - place + 8)
    patch(place, length)
    append32(length)
  }

  /// An option: code, length of the value without padding, value.
  mutating func option(_ code: UInt16, _ body: (inout BlockBuffer) -> Void) {
    append16(code)
    let place = count
    append16(0)
    body(&self)
    patch(place, UInt16(count - place - 2))
    pad()
  }

  /// A text option, cut to what its length field can say; nothing for an empty text.
  mutating func option(_ code: UInt16, text: String) {
    guard !text.isEmpty else { return }
    option(code) { $0.append(utf8: text.utf8.prefix(Int(UInt16.max) - 3)) }
  }

  mutating func endOfOptions() { append32(0) }

  /// An enhanced packet block (draft-ietf-opsawg-pcapng, section 4.3) without a comment, in one go.
  /// - Returns: its length.
  @discardableResult
  mutating func packet(
    interface: UInt32, time: UInt64, wireLength: Int, _ frame: UnsafeRawBufferPointer, _ direction: Direction
  ) -> Int {
    let padded = (frame.count + 3) & ~3
    let options = direction == .foreign ? 4 : 12
    let length = PcapngBlock.packetHeader + padded + options + 4
    let block = grow(length)
    block.storeBytes(of: PcapngBlock.enhancedPacket.rawValue, toByteOffset: 0, as: UInt32.self)
    block.storeBytes(of: UInt32(length), toByteOffset: 4, as: UInt32.self)
    block.storeBytes(of: interface, toByteOffset: 8, as: UInt32.self)
    block.storeBytes(of: UInt32(time >> 32), toByteOffset: 12, as: UInt32.self)
    block.storeBytes(of: UInt32(truncatingIfNeeded: time), toByteOffset: 16, as: UInt32.self)
    block.storeBytes(of: UInt32(frame.count), toByteOffset: 20, as: UInt32.self)
    block.storeBytes(of: UInt32(wireLength), toByteOffset: 24, as: UInt32.self)
    var place = block + PcapngBlock.packetHeader
    if let source = frame.baseAddress, frame.count > 0 {
      (place + padded - 4).storeBytes(of: 0, as: UInt32.self)  // the padding; the frame's own bytes come over it
      place.copyMemory(from: source, byteCount: frame.count)
    }
    place += padded
    if direction != .foreign {
      place.storeBytes(of: PcapngOption.packetFlags, as: UInt16.self)
      place.storeBytes(of: 4, toByteOffset: 2, as: UInt16.self)
      place.storeBytes(of: UInt32(direction.rawValue), toByteOffset: 4, as: UInt32.self)
      place += 8
    }
    place.storeBytes(of: 0, as: UInt32.self)  // end of options
    place.storeBytes(of: UInt32(length), toByteOffset: 4, as: UInt32.self)
    return length
  }
}

/// Block types of pcapng (draft-ietf-opsawg-pcapng, section 11.1).
struct PcapngBlock: RawRepresentable, Equatable {
  let rawValue: UInt32
  static let sectionHeader = PcapngBlock(rawValue: 0x0A0D_0D0A)
  static let interfaceDescription = PcapngBlock(rawValue: 1)
  static let interfaceStatistics = PcapngBlock(rawValue: 5)
  static let enhancedPacket = PcapngBlock(rawValue: 6)

  /// Bytes of an enhanced packet block before the frame.
  static let packetHeader = 28
  static let decryptionSecrets = PcapngBlock(rawValue: 10)
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
