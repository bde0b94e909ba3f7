import Capture
import NetTypes
import Testing

@Suite struct PacketDecoderTests {
  private let source = IPAddress("192.0.2.1")
  private let destination = IPAddress("198.51.100.7")

  @Test("a TCP segment with IP and TCP options is read to its data")
  func tcpWithOptions() throws {
    let segment = Frames.tcp(flags: 0x18, options: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], data: Array("hello".utf8))
    let frame = Frames.ethernet(0x0800, Frames.ipv4(6, segment, options: [0x94, 4, 0, 0]))
    let packet = try #require(Packet(frame))
    #expect(packet.sourceMAC == MACAddress(bytes: Frames.a))
    #expect(packet.destinationMAC == MACAddress(bytes: Frames.b))
    #expect(packet.ip?.source == source)
    #expect(packet.ip?.destination == destination)
    #expect(packet.ip?.identification == 0x1234)
    guard case .tcp(let header) = packet.transport else { return #expect(Bool(false), "\(packet.transport)") }
    #expect(header.sourcePort == 40000 && header.destinationPort == 80)
    #expect(header.sequence == 0x0102_0304 && header.acknowledgment == 0x0506_0708)
    #expect(header.flags == [.psh, .ack])
    #expect(header.length == 5 && header.span == 5)
    #expect(Array(frame[packet.payload]) == Array("hello".utf8))
  }

  @Test("Ethernet padding is no payload")
  func padding() throws {
    let frame = Frames.ethernet(0x0800, Frames.ipv4(6, Frames.tcp(flags: 0x10))) + [UInt8](repeating: 0, count: 6)
    let packet = try #require(Packet(frame))
    guard case .tcp(let header) = packet.transport else { return #expect(Bool(false)) }
    #expect(header.length == 0)
    #expect(packet.payload.isEmpty)
  }

  @Test("the length of TCP data is what was sent, not what the snapshot kept")
  func snapshot() throws {
    let whole = Frames.ethernet(
      0x0800, Frames.ipv4(6, Frames.tcp(flags: 0x10, data: [UInt8](repeating: 1, count: 900))))
    let packet = try #require(Packet(Array(whole.prefix(100)), wireLength: whole.count))
    guard case .tcp(let header) = packet.transport else { return #expect(Bool(false)) }
    #expect(header.length == 900)
    #expect(packet.payload.count == 100 - 54)
  }

  @Test("a total length of 0, as segmentation offload leaves it, means the length on the wire")
  func zeroLength() throws {
    var ip = Frames.ipv4(6, Frames.tcp(flags: 0x10, data: [UInt8](repeating: 1, count: 100)))
    ip[2] = 0
    ip[3] = 0
    let packet = try #require(Packet(Frames.ethernet(0x0800, ip), wireLength: 70_054))
    guard case .tcp(let header) = packet.transport else { return #expect(Bool(false)) }
    #expect(header.length == 70_000)
  }

  @Test("the first fragment shows its transport, later ones do not")
  func fragments() throws {
    let first = try #require(Packet(Frames.ethernet(0x0800, Frames.ipv4(17, Frames.udp([1, 2]), fragment: 0x2000))))
    #expect(first.ip?.moreFragments == true)
    guard case .udp = first.transport else { return #expect(Bool(false)) }
    let later = try #require(Packet(Frames.ethernet(0x0800, Frames.ipv4(17, [9, 9, 9, 9], fragment: 0x0003))))
    #expect(later.transport == .laterFragment)
    #expect(later.ip?.fragmentOffset == 24)
  }

  @Test("IPv6 extension headers are stepped over")
  func extensionHeaders() throws {
    let hopByHop: [UInt8] = [60, 0, 1, 4, 0, 0, 0, 0]
    let options: [UInt8] = [44, 1] + [UInt8](repeating: 0, count: 14)
    let fragment: [UInt8] = [17, 0, 0, 1, 0, 0, 0, 42]
    let frame = Frames.ethernet(0x86DD, Frames.ipv6(0, hopByHop + options + fragment + Frames.udp([5])))
    let packet = try #require(Packet(frame))
    #expect(packet.ip?.source == IPAddress("2001:db8::1"))
    #expect(packet.ip?.ttl == 63)
    #expect(packet.ip?.proto == .udp)
    #expect(packet.ip?.identification == 42)
    #expect(packet.ip?.moreFragments == true)
    guard case .udp(let header) = packet.transport else { return #expect(Bool(false)) }
    #expect(header.sourcePort == 12345 && header.destinationPort == 53 && header.length == 1)
    #expect(Array(frame[packet.payload]) == [5])
  }

  @Test("an ICMP error gives the packet that it quotes")
  func quoted() throws {
    let inner = Frames.ipv4(17, Frames.udp([7, 7, 7]))
    let frame = Frames.ethernet(0x0800, Frames.ipv4(1, Frames.icmp(3, 0, inner)))
    let packet = try #require(Packet(frame))
    guard case .icmp(let header) = packet.transport else { return #expect(Bool(false)) }
    #expect(header.name(.icmp) == "destination unreachable (no route)")
    let quoted = try #require(header.quoted)
    #expect(quoted.ip.source == source)
    #expect(quoted.sourcePort == 12345 && quoted.destinationPort == 53)
    #expect(Array(frame[quoted.payload]) == [7, 7, 7])
  }

  @Test("an ICMPv6 error quoting TCP gives its sequence number; echo messages quote nothing")
  func quoted6() throws {
    let inner = Frames.ipv6(6, Frames.tcp(flags: 2))
    let packet = try #require(Packet(Frames.ethernet(0x86DD, Frames.ipv6(58, Frames.icmp(1, 0, inner)))))
    guard case .icmpv6(let header) = packet.transport else { return #expect(Bool(false)) }
    #expect(header.quoted?.sequence == 0x0102_0304)
    let echo = try #require(Packet(Frames.ethernet(0x86DD, Frames.ipv6(58, Frames.icmp(128, 0, [1, 2])))))
    guard case .icmpv6(let request) = echo.transport else { return #expect(Bool(false)) }
    #expect(request.identifier == 7 && request.sequence == 9 && request.quoted == nil)
  }

  @Test("VLAN tags are stepped over")
  func vlan() throws {
    let inner: [UInt8] = [0, 5, 0x81, 0x00, 0, 6, 0x08, 0x00]
    let packet = try #require(Packet(Frames.ethernet(0x88A8, inner + Frames.ipv4(17, Frames.udp([])))))
    #expect(packet.etherType == .ipv4)
    #expect(packet.ip?.source == source)
  }

  private static let samples: [[UInt8]] = [
    Frames.ethernet(
      0x0800,
      Frames.ipv4(6, Frames.tcp(flags: 2, options: [2, 4, 5, 0xB4], data: [1, 2, 3]), options: [0x94, 4, 0, 0])),
    Frames.ethernet(0x0800, Frames.ipv4(17, Frames.udp([1, 2, 3]))),
    Frames.ethernet(0x0800, Frames.ipv4(1, Frames.icmp(11, 0, Frames.ipv4(6, Frames.tcp(flags: 2))))),
    Frames.ethernet(
      0x86DD,
      Frames.ipv6(0, [60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 1] + Frames.udp([1]))),
    Frames.ethernet(0x86DD, Frames.ipv6(58, Frames.icmp(1, 4, Frames.ipv6(6, Frames.tcp(flags: 2))))),
    Frames.ethernet(0x8100, [0, 5, 0x08, 0x00] + Frames.ipv4(17, Frames.udp([1, 2, 3]))),
  ]

  @Test("a frame cut at any byte keeps its ranges inside what was captured", arguments: samples)
  func truncation(frame: [UInt8]) {
    for length in 0...frame.count {
      guard let packet = Packet(Array(frame.prefix(length)), wireLength: frame.count) else {
        #expect(length < 14)
        continue
      }
      #expect(length >= 14)
      #expect(packet.payload.upperBound <= length)
    }
  }

  @Test("any one byte changed to anything leaves ranges inside the frame", arguments: samples)
  func corruption(frame: [UInt8]) {
    for index in frame.indices {
      for value in [UInt8(0), 1, 0x0F, 0x45, 0x7F, 0x80, 0xF0, 0xFF] {
        var changed = frame
        changed[index] = value
        let packet = Packet(changed)
        #expect((packet?.payload.upperBound ?? 0) <= changed.count)
      }
    }
  }

  @Test("a packet is told in one line as tcpdump would")
  func line() throws {
    let tcp = try #require(Packet(Frames.ethernet(0x0800, Frames.ipv4(6, Frames.tcp(flags: 0x12)))))
    #expect(
      tcp.line(wireLength: 54)
        == "IP 192.0.2.1:40000 > 198.51.100.7:80: tcp [S.] seq 16909060 ack 84281096 win 65535, length 0, ttl 64")
    let udp = try #require(Packet(Frames.ethernet(0x86DD, Frames.ipv6(17, Frames.udp([1])))))
    #expect(udp.line(wireLength: 63) == "IP6 [2001:db8::1]:12345 > [2001:db8::2]:53: udp, length 1, ttl 63")
  }

  @Test("directions follow the interface's own address; frames of others are foreign")
  func directions() throws {
    let a = try #require(MACAddress(bytes: Frames.a))
    let b = try #require(MACAddress(bytes: Frames.b))
    let broadcast = MACAddress(rawValue: 0xFFFF_FFFF_FFFF)
    #expect(Direction(destination: b, source: a, interface: a) == .outbound)
    #expect(Direction(destination: a, source: b, interface: a) == .inbound)
    #expect(Direction(destination: broadcast, source: b, interface: a) == .inbound)
    #expect(Direction(destination: broadcast, source: a, interface: a) == .outbound)
    #expect(Direction(destination: b, source: MACAddress(rawValue: 7), interface: a) == .foreign)
  }

  @Test("a filter that does not compile is refused with libpcap's reason")
  func filters() {
    #expect(throws: Never.self) { try CaptureFilter.check("tcp port 80 or icmp6") }
    do throws(CaptureError) {
      try CaptureFilter.check("tcp prt 80")
      #expect(Bool(false), "accepted")
    } catch {
      guard case .filter("tcp prt 80", let reason) = error else { return #expect(Bool(false), "\(error)") }
      #expect(!reason.isEmpty)
    }
  }
}
