/// What the datagrams of a rate run begin with, in network order: eight bytes of the run's key, a number of 32 bits, a random
/// word by which some of them are followed, and the time at which it was sent (CLOCK_REALTIME, ns).
enum RateDatagram {
  static let keyLength = 8
  static let numberOffset = keyLength
  static let dieOffset = numberOffset + MemoryLayout<UInt32>.size
  static let timeOffset = dieOffset + MemoryLayout<UInt32>.size
  static let headerLength = timeOffset + MemoryLayout<UInt64>.size

  static func write(_ number: UInt32, _ die: UInt32, _ time: UInt64, to buffer: inout [UInt8]) {
    withUnsafeBytes(of: number.bigEndian) { buffer.replaceSubrange(numberOffset..<dieOffset, with: $0) }
    withUnsafeBytes(of: die.bigEndian) { buffer.replaceSubrange(dieOffset..<timeOffset, with: $0) }
    withUnsafeBytes(of: time.bigEndian) { buffer.replaceSubrange(timeOffset..<headerLength, with: $0) }
  }
}

/// Which datagrams of a run are followed, everywhere the same. By chance, since a policer may drop every second one.
struct RateSample {
  /// A datagram is followed whose die has none of these bits: one of `mask + 1`.
  let mask: UInt32

  /// Datagrams a second that captures on some ten interfaces and two processors keep up with.
  private static let most = 2000.0

  init(rate: UInt64, payload: Int) {
    var mask: UInt32 = 0
    while Double(rate) / 8 / Double(max(1, payload)) / Double(mask + 1) > Self.most, mask < 0xFFFF {
      mask = mask << 1 | 1
    }
    self.mask = mask
  }

  func follows(_ die: UInt32) -> Bool { die & mask == 0 }
}
