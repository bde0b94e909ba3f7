import Capture
import NetTypes

/// Frames written byte by byte, for tests; checksums are left at 0, as offloads leave them.
enum Frames {
  static let a: [UInt8] = [0x02, 0, 0, 0, 0, 0x0A]
  static let b: [UInt8] = [0x02, 0, 0, 0, 0, 0x0B]

  static func ethernet(_ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
    b + a + [UInt8(type >> 8), UInt8(type & 255)] + payload
  }

  static func ipv4(
    _ proto: UInt8, _ payload: [UInt8], options: [UInt8] = [], fragment: UInt16 = 0, ttl: UInt8 = 64
  ) -> [UInt8] {
    let header = 20 + options.count
    let total = UInt16(header + payload.count)
    return [0x40 | UInt8(header / 4), 0, UInt8(total >> 8), UInt8(total & 255), 0x12, 0x34]
      + [UInt8(fragment >> 8), UInt8(fragment & 255), ttl, proto, 0, 0] + [192, 0, 2, 1, 198, 51, 100, 7] + options
      + payload
  }

  static let source6: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
  static let destination6: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]

  static func ipv6(_ next: UInt8, _ payload: [UInt8]) -> [UInt8] {
    [0x60, 0, 0, 0, UInt8(payload.count >> 8), UInt8(payload.count & 255), next, 63] + source6 + destination6 + payload
  }

  static func tcp(flags: UInt8, options: [UInt8] = [], data: [UInt8] = []) -> [UInt8] {
    [0x9C, 0x40, 0, 80, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08]  // 40000 > 80, seq, ack
      + [UInt8(20 + options.count) << 2, flags, 0xFF, 0xFF, 0, 0, 0, 0] + options + data
  }

  static func udp(_ data: [UInt8], length: UInt16? = nil) -> [UInt8] {
    let length = length ?? UInt16(8 + data.count)
    return [0x30, 0x39, 0, 53, UInt8(length >> 8), UInt8(length & 255), 0, 0] + data  // 12345 > 53
  }

  static func icmp(_ type: UInt8, _ code: UInt8, _ body: [UInt8]) -> [UInt8] { [type, code, 0, 0, 0, 7, 0, 9] + body }
}
