public import NetTypes

/// A pcapng file in memory, as far as this product writes them: one section in this machine's byte order. Blocks and
/// options of other kinds are stepped over, as the format asks.
public struct PcapngFile: Sendable, Equatable {
  public struct Interface: Sendable, Equatable {
    public var name = ""
    public var description = ""
    public var filter = ""
    public var mac: MACAddress?
    public var snapLength = 0
    public var statistics: CaptureStatistics?
  }

  public struct Record: Sendable, Equatable {
    public var interface: Int
    /// Nanoseconds since 1970.
    public var time: UInt64
    public var wireLength: Int
    public var direction: Direction
    public var comment: String
    public var bytes: [UInt8]
  }

  public enum ReadError: Error, Equatable {
    /// Not a pcapng section of this byte order.
    case notPcapng
    /// A block at this offset is cut, or its lengths disagree.
    case damaged(offset: Int)
  }

  public private(set) var comment = ""
  public private(set) var interfaces: [Interface] = []
  public private(set) var records: [Record] = []

  public init(_ bytes: [UInt8]) throws(ReadError) {
    var error: ReadError?
    bytes.withUnsafeBytes { raw in
      do throws(ReadError) { try read(raw) } catch let failure { error = failure }
    }
    if let error { throw error }
  }

  private mutating func read(_ file: UnsafeRawBufferPointer) throws(ReadError) {
    guard file.host32(0) == PcapngBlock.sectionHeader.rawValue, file.host32(8) == 0x1A2B_3C4D else { throw .notPcapng }
    var offset = 0
    while offset < file.count {
      guard let type = file.host32(offset), let length = file.host32(offset + 4).map(Int.init), length >= 12,
        length % 4 == 0, offset + length <= file.count, file.host32(offset + length - 4) == UInt32(length)
      else { throw .damaged(offset: offset) }
      let body = UnsafeRawBufferPointer(rebasing: file[offset + 8..<offset + length - 4])
      guard take(PcapngBlock(rawValue: type), body) else { throw .damaged(offset: offset) }
      offset += length
    }
  }

  private mutating func take(_ type: PcapngBlock, _ body: UnsafeRawBufferPointer) -> Bool {
    switch type {
    case .sectionHeader:
      guard body.count >= 16 else { return false }
      return eachOption(body, from: 16) { if $0 == PcapngOption.comment { comment = text($1) } }
    case .interfaceDescription: return takeInterface(body)
    case .enhancedPacket: return takePacket(body)
    case .interfaceStatistics: return takeStatistics(body)
    default: return true
    }
  }

  private mutating func takeInterface(_ body: UnsafeRawBufferPointer) -> Bool {
    guard body.count >= 8 else { return false }
    var interface = Interface()
    interface.snapLength = Int(body.host32(4) ?? 0)
    guard
      eachOption(
        body, from: 8,
        {
          switch $0 {
          case PcapngOption.interfaceName: interface.name = text($1)
          case PcapngOption.interfaceDescription: interface.description = text($1)
          case PcapngOption.interfaceFilter: interface.filter = text(UnsafeRawBufferPointer(rebasing: $1.dropFirst()))
          case PcapngOption.interfaceMAC: interface.mac = MACAddress(bytes: Array($1))
          default: break
          }
        })
    else { return false }
    interfaces.append(interface)
    return true
  }

  private mutating func takePacket(_ body: UnsafeRawBufferPointer) -> Bool {
    guard let interface = body.host32(0), let high = body.host32(4), let low = body.host32(8),
      let captured = body.host32(12).map(Int.init), let wire = body.host32(16), interface < interfaces.count,
      captured <= body.count - 20
    else { return false }
    var record = Record(
      interface: Int(interface), time: UInt64(high) << 32 | UInt64(low), wireLength: Int(wire), direction: .foreign,
      comment: "", bytes: Array(body[20..<20 + captured]))
    guard
      eachOption(
        body, from: 20 + (captured + 3) & ~3,
        {
          switch $0 {
          case PcapngOption.comment: record.comment = text($1)
          case PcapngOption.packetFlags:
            record.direction = Direction(rawValue: UInt8(($1.host32(0) ?? 0) & 3)) ?? .foreign
          default: break
          }
        })
    else { return false }
    records.append(record)
    return true
  }

  private mutating func takeStatistics(_ body: UnsafeRawBufferPointer) -> Bool {
    guard let index = body.host32(0).map(Int.init), index < interfaces.count else { return false }
    var counters = CaptureStatistics(received: 0, dropped: 0)
    guard
      eachOption(
        body, from: 12,
        {
          switch $0 {
          case PcapngOption.statisticsReceived: counters.received = $1.host64(0) ?? 0
          case PcapngOption.statisticsDropped: counters.dropped = $1.host64(0) ?? 0
          default: break
          }
        })
    else { return false }
    interfaces[index].statistics = counters
    return true
  }

  private func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// Calls the body for each option up to the end mark; false when one is cut.
private func eachOption(
  _ body: UnsafeRawBufferPointer, from start: Int, _ visit: (UInt16, UnsafeRawBufferPointer) -> Void
) -> Bool {
  var offset = start
  while offset + 4 <= body.count {
    guard let code = body.host16(offset), let length = body.host16(offset + 2).map(Int.init) else { return false }
    if code == 0 { return true }
    guard offset + 4 + length <= body.count else { return false }
    visit(code, UnsafeRawBufferPointer(rebasing: body[offset + 4..<offset + 4 + length]))
    offset += 4 + (length + 3) & ~3
  }
  return true
}

extension UnsafeRawBufferPointer {
  fileprivate func host16(_ offset: Int) -> UInt16? {
    offset >= 0 && offset + 2 <= count ? loadUnaligned(fromByteOffset: offset, as: UInt16.self) : nil
  }
  fileprivate func host32(_ offset: Int) -> UInt32? {
    offset >= 0 && offset + 4 <= count ? loadUnaligned(fromByteOffset: offset, as: UInt32.self) : nil
  }
  fileprivate func host64(_ offset: Int) -> UInt64? {
    offset >= 0 && offset + 8 <= count ? loadUnaligned(fromByteOffset: offset, as: UInt64.self) : nil
  }
}
