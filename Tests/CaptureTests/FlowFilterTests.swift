import Capture
import Foundation
import NetTypes
import Testing

/// What the kernel's machine does with a program: nil when a load lies outside of the packet.
private func run(_ program: [(code: UInt16, ifTrue: Int, ifFalse: Int, value: UInt32)], _ packet: [UInt8]) -> UInt32? {
  var (a, x, at) = (UInt32(0), UInt32(0), 0)
  var memory = [UInt32](repeating: 0, count: 16)
  func load(_ place: Int, _ size: Int) -> UInt32? {
    guard place + size <= packet.count else { return nil }
    return packet[place..<place + size].reduce(0) { $0 << 8 | UInt32($1) }
  }
  while at < program.count {
    let one = program[at]
    at += 1
    let operand = one.code & 0x08 != 0 ? x : one.value
    switch one.code {
    case 0x20, 0x28, 0x30, 0x40, 0x48, 0x50:
      let size = [0: 4, 0x08: 2, 0x10: 1][one.code & 0x18] ?? 4
      guard let word = load(Int(one.value) + (one.code & 0xE0 == 0x40 ? Int(x) : 0), size) else { return nil }
      a = word
    case 0x00: a = one.value
    case 0x01: x = one.value
    case 0xB1:
      guard let byte = load(Int(one.value), 1) else { return nil }
      x = 4 * (byte & 0xF)
    case 0x02: memory[Int(one.value)] = a
    case 0x03: memory[Int(one.value)] = x
    case 0x60: a = memory[Int(one.value)]
    case 0x61: x = memory[Int(one.value)]
    case 0x07: x = a
    case 0x87: a = x
    case 0x04, 0x0C: a = a &+ operand
    case 0x14, 0x1C: a = a &- operand
    case 0x54, 0x5C: a &= operand
    case 0x05: at += Int(one.value)
    case 0x15, 0x1D: at += a == operand ? one.ifTrue : one.ifFalse
    case 0x25, 0x2D: at += a > operand ? one.ifTrue : one.ifFalse
    case 0x35, 0x3D: at += a >= operand ? one.ifTrue : one.ifFalse
    case 0x45: at += a & operand != 0 ? one.ifTrue : one.ifFalse
    case 0x06: return one.value
    default: return nil
    }
  }
  return nil
}

@Suite struct FlowFilterTests {
  /// What passes: of each filter, frames that do and frames that do not.
  private static let key: [UInt8] = [0xDE, 0xAD, 0xBE, 0xEF]
  private static let word: UInt32 = 0xDEAD_BEEF

  private static let filters: [FlowFilter] = AddressFamily.allCases.flatMap { family in
    [
      FlowFilter(family, .icmp, words: [.init(offset: 8, base: word)]),
      FlowFilter(family, .udp, words: [.init(offset: 8, base: word)]),
      FlowFilter(family, .udp, words: []),
      FlowFilter(family, .udp, words: [.init(offset: 8, base: word)], sample: .init(offset: 12, mask: 0x1001)),
      FlowFilter(family, .tcp, words: [4, 8].map { .init(offset: $0, base: 0xFFFF_FF00, span: 0x0110_0000) }),
    ]
  }

  private static let frames: [[UInt8]] = {
    var bodies: [(v4: UInt8, v6: UInt8, [UInt8])] = []
    for payload in [key + [1, 2, 3], [1] + key, [], key + [1, 2, 0, 4], key + [1, 2, 0x10, 4], key + [1, 2, 0, 1]] {
      bodies.append((1, 58, Frames.icmp(8, 0, payload)))
      bodies.append((1, 58, Frames.icmp(129, 0, payload)))
      bodies.append((1, 58, Frames.icmp(3, 0, payload)))
      bodies.append((1, 58, Frames.icmp(11, 0, payload)))
      bodies.append((1, 58, Frames.icmp(1, 0, payload)))
      bodies.append((17, 17, Frames.udp(payload)))
    }
    for numbers: [UInt8] in [
      [0xFF, 0xFF, 0xFF, 0x10, 9, 9, 9, 9], [0, 0, 0, 5, 9, 9, 9, 9], [0xFF, 0xFF, 0xFE, 0xFF, 9, 9, 9, 9],
      [9, 9, 9, 9, 0, 0, 1, 0], [9, 9, 9, 9, 2, 0, 0, 0], [0x01, 0x0F, 0xFE, 0xFF, 9, 9, 9, 9],
      [0x01, 0x0F, 0xFF, 0x00, 9, 9, 9, 9],
    ] { bodies.append((6, 6, [0x9C, 0x40, 0, 80] + numbers + [0x50, 2, 0, 0, 0, 0, 0, 0])) }
    return bodies.flatMap { v4, v6, body in
      [
        Frames.ethernet(0x0800, Frames.ipv4(v4, body)),
        Frames.ethernet(0x0800, Frames.ipv4(v4, body, options: [1, 1, 1, 1])),
        Frames.ethernet(0x0800, Frames.ipv4(v4, body, fragment: 10)),
        Frames.ethernet(0x86DD, Frames.ipv6(v6, body)),
        // Fragment header (RFC 8200 section 4.5): the first piece, and one further on.
        Frames.ethernet(0x86DD, Frames.ipv6(44, [v6, 0, 0, 1, 0, 0, 0, 7] + body)),
        Frames.ethernet(0x86DD, Frames.ipv6(44, [v6, 0, 0x05, 0xA8, 0, 0, 0, 7] + body)),
      ]
    } + [Frames.ethernet(0x0806, [UInt8](repeating: 0, count: 28))]
  }()

  private static let tcpdump = ["/usr/bin/tcpdump", "/usr/sbin/tcpdump"].first {
    FileManager.default.isExecutableFile(atPath: $0)
  }

  /// tcpdump's own program for the text of a filter.
  private func compiled(_ text: String) throws -> [(code: UInt16, ifTrue: Int, ifFalse: Int, value: UInt32)] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Self.tcpdump ?? "")
    process.arguments = ["-ddd", "-y", "EN10MB", text]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let lines = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n")
    process.waitUntilExit()
    return lines.dropFirst().map { line in
      let numbers = line.split(separator: " ").compactMap { UInt32($0) }
      return (UInt16(numbers[0]), Int(numbers[1]), Int(numbers[2]), numbers[3])
    }
  }

  @Test("a filter's instructions pass what libpcap's for its text pass", .enabled(if: tcpdump != nil, "needs tcpdump"))
  func sameAsText() throws {
    for filter in Self.filters {
      let ours = filter.instructions.map { ($0.code, Int($0.ifTrue), Int($0.ifFalse), $0.value) }
      let theirs = try compiled(filter.text)
      #expect(!theirs.isEmpty, "\(filter.text)")
      var passed = 0
      for frame in Self.frames {
        let accepted = run(ours, frame) ?? 0 > 0
        #expect(accepted == (run(theirs, frame) ?? 0 > 0), "\(filter.text): \(frame)")
        passed += accepted ? 1 : 0
      }
      #expect(passed > 0 && passed < Self.frames.count, "\(filter.text)")
    }
  }
}
