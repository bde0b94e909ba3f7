import Capture
import NetTypes
import Testing

@Suite struct FlowSegmentTests {
  /// RFC 9293 section 3.1: ports, sequence, acknowledgment, offset, flags, window, checksum, urgent, options, data.
  private func tcp(_ options: [UInt8], _ data: [UInt8]) -> [UInt8] {
    let offset = UInt8((20 + options.count) / 4) << 4
    return [0x9C, 0x40, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, offset, 0x18, 0, 0, 0, 0, 0, 0] + options + data
  }

  private func segment(_ frame: [UInt8]) -> FlowSegment? {
    frame.withUnsafeBytes { FlowSegment($0, wireLength: frame.count) }
  }

  @Test("it says of both families what the full decoder says, with the time stamp of RFC 7323 after other options")
  func sameAsPacket() throws {
    let options: [UInt8] = [1, 2, 4, 5, 0xB4, 1, 8, 10, 0, 0, 1, 0, 9, 9, 9, 9]
    for body in [tcp(options, [1, 2, 3]), tcp([], [])] {
      for frame in [
        Frames.ethernet(0x0800, Frames.ipv4(6, body)), Frames.ethernet(0x86DD, Frames.ipv6(6, body)),
        Frames.ethernet(0x0800, Frames.ipv4(6, body, options: [1, 1, 1, 1])),
      ] {
        let ours = try #require(segment(frame))
        let packet = try #require(Packet(frame))
        guard case .tcp(let header) = packet.transport else { return #expect(Bool(false), "not TCP") }
        #expect(ours.sequence == header.sequence && ours.length == header.length && ours.flags == header.flags)
        #expect(ours.sourceMAC == packet.sourceMAC && ours.destinationMAC == packet.destinationMAC)
        #expect(ours.dataOffset == packet.payload.lowerBound)
        #expect(ours.timestamp == (body.count > 20 ? 256 : nil))
      }
    }
  }

  @Test("another port is another flow; another payload is not")
  func flows() throws {
    let one = try #require(segment(Frames.ethernet(0x0800, Frames.ipv4(17, Frames.udp([1, 2, 3])))))
    let same = try #require(segment(Frames.ethernet(0x0800, Frames.ipv4(17, Frames.udp([9, 9])))))
    var other = Frames.ethernet(0x0800, Frames.ipv4(17, Frames.udp([1, 2, 3])))
    other[14 + 20] ^= 1
    #expect(one.flow == same.flow && one.length == 3 && same.length == 2)
    #expect(try #require(segment(other)).flow != one.flow)
  }

  @Test("a frame that is cut anywhere is nothing, or what its headers say; never a crash")
  func cut() {
    for proto: UInt8 in [6, 17, 1] {
      for frame in [
        Frames.ethernet(0x0800, Frames.ipv4(proto, tcp([8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], [1]))),
        Frames.ethernet(0x86DD, Frames.ipv6(proto, tcp([8, 0, 3, 255], [1]))),
        Frames.ethernet(0x0806, [UInt8](repeating: 0, count: 28)),
      ] { for length in 0..<frame.count { _ = segment(Array(frame[..<length])) } }
    }
    #expect(segment(Frames.ethernet(0x0800, Frames.ipv4(1, Frames.icmp(8, 0, [1])))) == nil)
    #expect(segment(Frames.ethernet(0x0800, Frames.ipv4(17, Frames.udp([1]), fragment: 10))) == nil)
  }
}
