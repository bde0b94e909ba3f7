// Writes one section of pcapng (draft-ietf-opsawg-pcapng) to a descriptor as packets come: a section header, one
// interface block per captured interface named NODE:IFACE, enhanced packets with direction and comment, at the end
// interface statistics. The byte order is the machine's, as the format asks. The writer buffers; `flush` hands over.
import CLinux
import Glibc
public import NetTypes

public struct PcapngWriter: ~Copyable {
  /// An interface block.
  public struct Interface: Sendable {
    public var name: String
    public var description: String
    public var filter: String
    public var mac: MACAddress?
    public var snapLength: Int

    public init(name: String, description: String = "", filter: String = "", mac: MACAddress? = nil, snapLength: Int) {
      self.name = name
      self.description = description
      self.filter = filter
      self.mac = mac
      self.snapLength = snapLength
    }
  }

  private let descriptor: Int32
  private var buffer = BlockBuffer()

  /// Bytes that wait for `flush`.
  public var pending: Int { buffer.count }

  /// Begins a section with its interfaces. The descriptor stays the caller's.
  public init(_ descriptor: Int32, _ section: PcapngSection, _ interfaces: [Interface]) {
    self.descriptor = descriptor
    buffer.block(.sectionHeader) {
      $0.append32(0x1A2B_3C4D)
      $0.append16(1)
      $0.append16(0)
      $0.append64(.max)  // length of the section: not known
      $0.option(PcapngOption.comment, text: section.comment)
      $0.option(PcapngOption.sectionHardware, text: section.hardware)
      $0.option(PcapngOption.sectionOS, text: section.os)
      $0.option(PcapngOption.sectionApplication, text: section.application)
      $0.endOfOptions()
    }
    for interface in interfaces { append(interface) }
  }

  private mutating func append(_ interface: Interface) {
    buffer.block(.interfaceDescription) {
      $0.append16(1)  // LINKTYPE_ETHERNET
      $0.append16(0)
      $0.append32(UInt32(interface.snapLength))
      $0.option(PcapngOption.interfaceName, text: interface.name)
      $0.option(PcapngOption.interfaceDescription, text: interface.description)
      if let mac = interface.mac {
        $0.option(PcapngOption.interfaceMAC) { option in mac.bytes.withUnsafeBytes { option.append($0) } }
      }
      $0.option(PcapngOption.interfaceResolution) { option in
        withUnsafeBytes(of: UInt8(9)) { option.append($0) }  // units of 10^-9 s
      }
      if !interface.filter.isEmpty {
        $0.option(PcapngOption.interfaceFilter, text: "\0" + interface.filter)  // code 0: a libpcap expression
      }
      $0.endOfOptions()
    }
  }

  /// Adds a packet.
  /// - Parameter interface: index into the interfaces given at the start.
  public mutating func append(
    interface: Int, time: UInt64, wireLength: Int, _ bytes: UnsafeRawBufferPointer, direction: Direction,
    comment: String = ""
  ) {
    guard !comment.isEmpty else {
      buffer.packet(interface: UInt32(interface), time: time, wireLength: wireLength, bytes, direction)
      return
    }
    buffer.block(.enhancedPacket) {
      $0.append32(UInt32(interface))
      $0.appendTime(time)
      $0.append32(UInt32(bytes.count))
      $0.append32(UInt32(wireLength))
      $0.append(bytes)
      $0.pad()
      $0.option(PcapngOption.comment, text: comment)
      if direction != .foreign {
        $0.option(PcapngOption.packetFlags) { $0.append32(UInt32(direction.rawValue)) }
      }
      $0.endOfOptions()
    }
  }

  /// Adds a packet that a merge has encoded; its interface's number is this file's.
  public mutating func append(_ block: PacketBlock) { buffer.append(block.bytes) }

  /// Adds lines of a TLS key log (NSS format), which decrypt what comes behind them (draft-ietf-opsawg-pcapng, section 4.7).
  public mutating func append(tlsKeys lines: [UInt8]) {
    buffer.block(.decryptionSecrets) { block in
      block.append32(0x544C_534B)  // TLS Key Log
      block.append32(UInt32(lines.count))
      lines.withUnsafeBytes { block.append($0) }
      block.pad()
    }
  }

  /// Adds the counters of an interface, usually once at the end.
  public mutating func append(
    statistics: CaptureStatistics, interface: Int, start: UInt64, end: UInt64
  ) {
    buffer.block(.interfaceStatistics) {
      $0.append32(UInt32(interface))
      $0.appendTime(end)
      $0.option(PcapngOption.statisticsStart) { $0.appendTime(start) }
      $0.option(PcapngOption.statisticsEnd) { $0.appendTime(end) }
      $0.option(PcapngOption.statisticsReceived) { $0.append64(statistics.received) }
      $0.option(PcapngOption.statisticsDropped) { $0.append64(statistics.dropped) }
      $0.endOfOptions()
    }
  }

  /// Writes what waits. EPIPE (with SIGPIPE ignored) says that the reader went away.
  public mutating func flush() throws(CaptureFileError) {
    defer { buffer.removeAll() }
    let bytes = buffer.bytes
    var written = 0
    while written < bytes.count {
      let result = Glibc.write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
      if result >= 0 {
        written += result
      } else if errno == EAGAIN {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        Glibc.poll(&waiting, 1, -1)
      } else if errno != EINTR {
        throw CaptureFileError(code: errno)
      }
    }
  }
}

/// A capture file that could not be written: the errno.
public struct CaptureFileError: Error, Equatable, CustomStringConvertible {
  public var code: Int32

  public init(code: Int32) { self.code = code }

  public var description: String { String(cString: strerror(code)) }
  /// The reader of a pipe has gone.
  public var isClosedPipe: Bool { code == EPIPE }
}
