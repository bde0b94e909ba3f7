import Testing

@testable import Relay

@Suite struct ReceivedFrameTests {
  /// struct virtio_net_hdr as x86 and ARM have it in memory: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset.
  private static let header: [UInt8] = [1, 1, 66, 0, 0xA8, 5, 34, 0, 16, 0]
  private static let addresses: [UInt8] = [2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 1, 1]
  private static let rest: [UInt8] = [8, 0, 0x45, 0, 0, 20]

  private static func written(_ bytes: [UInt8], control: [UInt8]) -> [UInt8] {
    bytes.withUnsafeBytes { bytes in
      var frame = ReceivedFrame(bytes: bytes)
      control.withUnsafeBytes { frame.read(control: $0) }
      var copy = [UInt8](repeating: 0xEE, count: frame.length)
      copy.withUnsafeMutableBytes { frame.write(to: $0) }
      return copy
    }
  }

  /// cmsg(3): length, SOL_PACKET, PACKET_AUXDATA; struct tpacket_auxdata: status, len, snaplen, mac, net, tci, tpid.
  private static func auxiliary(status: UInt8, tci: [UInt8], tpid: [UInt8]) -> [UInt8] {
    [36, 0, 0, 0, 0, 0, 0, 0, 7, 1, 0, 0, 8, 0, 0, 0]
      + [status, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0, 0, 0, 14, 0] + tci + tpid + [0, 0, 0, 0]
  }

  @Test func aFrameWithoutATagIsSentAsItCame() {
    let frame = Self.header + Self.addresses + Self.rest
    #expect(Self.written(frame, control: []) == frame)
    #expect(Self.written(frame, control: Self.auxiliary(status: 1, tci: [0, 0], tpid: [0, 0])) == frame)
  }

  @Test func aTagThatTheKernelTookOutIsPutBackAndTheOffsetsMoveWithIt() {
    let written = Self.written(
      Self.header + Self.addresses + Self.rest,
      control: Self.auxiliary(status: 0x51, tci: [0x64, 0x20], tpid: [0xA8, 0x88]))
    #expect(
      written == [1, 1, 70, 0, 0xA8, 5, 38, 0, 16, 0] + Self.addresses + [0x88, 0xA8, 0x20, 0x64] + Self.rest)
  }

  @Test func theTypeOfATagIs8100WhereTheKernelDoesNotSay() {
    let written = Self.written(
      [UInt8](repeating: 0, count: 10) + Self.addresses + Self.rest,
      control: Self.auxiliary(status: 0x11, tci: [1, 0], tpid: [0, 0]))
    #expect(
      written == [UInt8](repeating: 0, count: 10) + Self.addresses + [0x81, 0, 0, 1] + Self.rest)
  }

  @Test func theKernelsStampIsReadWhereverItStands() {
    // cmsg(3): length 32, SOL_SOCKET, SO_TIMESTAMPNS, 3 s and 5 ns.
    let stamp: [UInt8] =
      [32, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 35, 0, 0, 0] + [3, 0, 0, 0, 0, 0, 0, 0] + [5, 0, 0, 0, 0, 0, 0, 0]
    let tag = Self.auxiliary(status: 1, tci: [0, 0], tpid: [0, 0])
    for control in [stamp, stamp + tag, tag + stamp] {
      var frame = ReceivedFrame(bytes: UnsafeRawBufferPointer(start: nil, count: 0))
      control.withUnsafeBytes { frame.read(control: $0) }
      #expect(frame.stamp == 3_000_000_005)
    }
  }

  @Test func ancillaryDataThatEndsEarlyIsNotReadBeyondItsEnd() {
    let tag = Self.auxiliary(status: 0x51, tci: [1, 0], tpid: [0, 0x81])
    for length in 0..<36 {
      var frame = ReceivedFrame(bytes: UnsafeRawBufferPointer(start: nil, count: 0))
      Array(tag[..<length]).withUnsafeBytes { frame.read(control: $0) }
      #expect(frame.tag == nil)
    }
  }

  @Test func whatIsShorterThanEthernetIsNotSent() {
    let bytes = [UInt8](repeating: 0, count: 24)
    bytes.withUnsafeBytes { bytes in
      #expect(ReceivedFrame(bytes: bytes).isWhole)
      #expect(!ReceivedFrame(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<23])).isWhole)
      #expect(!ReceivedFrame(bytes: bytes, isCut: true).isWhole)
    }
  }
}
