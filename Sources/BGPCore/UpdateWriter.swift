import BGPWire

/// Builds UPDATE messages in place in an output buffer: opened with an attribute set, filled with prefixes, closed with
/// its lengths written back.
struct UpdateWriter {
  /// Most octets of a message around the attribute list and the prefixes: header, two lengths, and for IPv6 the header
  /// of MP_REACH_NLRI with family, next hop length and the reserved octet (its next hop is counted with the list).
  static let overhead = MessageHeader.size + 4 + 4 + 5

  private let limit: Int
  private let maxMessageSize: Int
  private(set) var messages = 0
  private var written = 0

  private var start: UnsafeMutableRawPointer?
  private var cursor: UnsafeMutableRawPointer?
  /// Where prefixes have to end, so that what follows them still fits.
  private var end: UnsafeMutableRawPointer?
  private var list = UnsafeRawBufferPointer(start: nil, count: 0)
  private var layout = Layout.withdrawal

  private enum Layout {
    case withdrawal, announcement, reach, unreach
  }

  init(limit: Int, maxMessageSize: Int) {
    self.limit = limit
    self.maxMessageSize = maxMessageSize
  }

  /// The caller's share is used up.
  var isFull: Bool { written >= limit }

  /// One more prefix of any length fits.
  @inline(__always) var hasRoom: Bool {
    guard let cursor, let end else { return false }
    return end - cursor >= 17
  }

  @inline(__always) mutating func append(_ key: PrefixKey) {
    guard let target = cursor else { return }
    cursor = target + key.encode(to: target)
  }

  /// - Parameter block: an outgoing set; IPv6 ones begin with the next hop.
  mutating func open(_ block: UnsafeRawBufferPointer, _ family: Family, _ output: inout OutputBuffer) {
    if family == .ipv4Unicast {
      begin(.announcement, &output)
      put(UInt16(0))
      put(UInt16(truncatingIfNeeded: block.count))
      put(block)
      return
    }
    // MP_REACH_NLRI stands first (RFC 7606 section 5.1), the rest of the list behind its prefixes.
    begin(.reach, &output)
    put(UInt32(0))
    put([AttributeFlags.optional.union(.extendedLength).rawValue, AttributeType.mpReach.rawValue, 0, 0])
    put([0, 2, 1, 16])
    put(UnsafeRawBufferPointer(rebasing: block[..<16]))
    put([0])
    list = UnsafeRawBufferPointer(rebasing: block[16...])
    end = end.map { $0 - list.count }
  }

  mutating func openWithdrawal(_ family: Family, _ output: inout OutputBuffer) {
    begin(family == .ipv4Unicast ? .withdrawal : .unreach, &output)
    if family == .ipv4Unicast {
      put(UInt16(0))
      end = end.map { $0 - 2 }
    } else {
      put(UInt32(0))
      put([AttributeFlags.optional.union(.extendedLength).rawValue, AttributeType.mpUnreach.rawValue, 0, 0, 0, 2, 1])
    }
  }

  mutating func close(_ output: inout OutputBuffer) {
    guard let start else { return }
    switch layout {
    case .announcement:
      break
    case .withdrawal:
      backpatch(MessageHeader.size, length(from: MessageHeader.size + 2))
      put(UInt16(0))
    case .reach:
      backpatch(MessageHeader.size + 6, length(from: MessageHeader.size + 8))
      put(list)
      backpatch(MessageHeader.size + 2, length(from: MessageHeader.size + 4))
    case .unreach:
      backpatch(MessageHeader.size + 6, length(from: MessageHeader.size + 8))
      backpatch(MessageHeader.size + 2, length(from: MessageHeader.size + 4))
    }
    let count = length(from: 0)
    (start + 16).storeBytes(of: UInt16(truncatingIfNeeded: count).bigEndian, as: UInt16.self)
    output.commit(count)
    messages += 1
    written += count
  }

  mutating func endOfRIB(_ family: Family, _ output: inout OutputBuffer) {
    append(UpdateMessage.endOfRIB(family), &output)
  }

  /// A whole message.
  mutating func append(_ message: [UInt8], _ output: inout OutputBuffer) {
    output.append(contentsOf: message)
    messages += 1
    written += message.count
  }

  private mutating func begin(_ layout: Layout, _ output: inout OutputBuffer) {
    // A prefix is written with one store of eight octets more than it may need.
    let target = output.appendingRoom(maxMessageSize + 32)
    target.storeBytes(of: UInt64.max, as: UInt64.self)
    (target + 8).storeBytes(of: UInt64.max, as: UInt64.self)
    (target + 18).storeBytes(of: MessageType.update.rawValue, as: UInt8.self)
    self.layout = layout
    start = target
    cursor = target + MessageHeader.size
    end = target + maxMessageSize
  }

  private func length(from offset: Int) -> Int {
    guard let start, let cursor else { return 0 }
    return cursor - start - offset
  }

  private func backpatch(_ offset: Int, _ value: Int) {
    guard let start else { return }
    (start + offset).storeBytes(of: UInt16(truncatingIfNeeded: value).bigEndian, as: UInt16.self)
  }

  private mutating func put(_ value: some FixedWidthInteger) {
    guard let target = cursor else { return }
    withUnsafeBytes(of: value.bigEndian) {
      target.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(target), byteCount: $0.count)
    }
    cursor = target + value.bitWidth / 8
  }

  private mutating func put(_ bytes: UnsafeRawBufferPointer) {
    guard let target = cursor, let source = bytes.baseAddress else { return }
    target.copyMemory(from: source, byteCount: bytes.count)
    cursor = target + bytes.count
  }

  private mutating func put(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { put($0) }
  }
}
