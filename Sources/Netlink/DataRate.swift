internal import CLinux

/// A rate as the packet scheduler counts it: bytes a second, link-layer header included (14 bytes of Ethernet; no
/// preamble, no checksum).
public struct DataRate: Hashable, Comparable, Sendable {
  public var bytesPerSecond: UInt64

  public init(bytesPerSecond: UInt64) { self.bytesPerSecond = bytesPerSecond }
  /// The kernel keeps whole bytes: a remainder below 8 bit/s is dropped.
  public init(bitsPerSecond: UInt64) { bytesPerSecond = bitsPerSecond / 8 }

  public static func < (a: DataRate, b: DataRate) -> Bool { a.bytesPerSecond < b.bytesPerSecond }

  /// Bytes that pass in a time given in milliseconds.
  public func bytes(inMilliseconds time: UInt64) -> UInt64 {
    let (product, overflow) = bytesPerSecond.multipliedReportingOverflow(by: time)
    return overflow ? .max : product / 1000
  }

  // MARK: The scheduler's clock

  /// PSCHED_SHIFT of the kernel's net/pkt_sched.h: one tick is 2^6 ns on every kernel since 2.6.31. /proc/net/psched
  /// says the same in its first two numbers (1000 and 64 ns).
  static let nanosecondsPerTick: UInt64 = 64
  private static let ticksPerSecond: UInt64 = 1_000_000_000 / nanosecondsPerTick

  /// How long `bytes` take at this rate, in ticks: the form in which the kernel takes a burst. iproute2's
  /// tc_calc_xmittime, rounded up to a whole tick and once only: up to 6.1 tc cuts to whole microseconds on the way,
  /// which loses 125 bytes at 1 Gbit/s. At most what 32 bits hold: 274 s.
  func ticks(for bytes: UInt32) -> UInt32 {
    guard bytesPerSecond > 0 else { return bytes == 0 ? 0 : .max }
    let (whole, rest) = (UInt64(bytes) * Self.ticksPerSecond).quotientAndRemainder(dividingBy: bytesPerSecond)
    return UInt32(clamping: whole + (rest == 0 ? 0 : 1))
  }

  /// How many whole bytes pass in so many ticks (tc_calc_xmitsize): undoes `ticks(for:)` exactly below 125 Mbit/s,
  /// where a tick is less than a byte.
  func bytes(inTicks ticks: UInt32) -> UInt32 { UInt32(clamping: scaled(ticks, rounding: 0)) }

  /// The same to the nearest byte: for ticks that the kernel reckoned itself, rounding down.
  func bytes(nearestToTicks ticks: UInt32) -> UInt32 {
    UInt32(clamping: scaled(ticks, rounding: Self.ticksPerSecond / 2))
  }

  private func scaled(_ ticks: UInt32, rounding: UInt64) -> UInt64 {
    let product = bytesPerSecond.multipliedFullWidth(by: UInt64(ticks))
    let (low, carry) = product.low.addingReportingOverflow(rounding)
    let high = product.high + (carry ? 1 : 0)
    guard high < Self.ticksPerSecond else { return .max }
    return Self.ticksPerSecond.dividingFullWidth((high, low)).quotient
  }

  /// A burst as it reads back once the kernel has it in ticks of this rate.
  func kept(_ bytes: UInt32) -> UInt32 { self.bytes(inTicks: ticks(for: bytes)) }

  // MARK: struct tc_ratespec

  /// The link layer must be named: 0 would make the kernel ask for tc's old rate tables (sch_api.c, qdisc_get_rtab).
  var specification: tc_ratespec {
    var specification = tc_ratespec()
    specification.linklayer = UInt8(TC_LINKLAYER_ETHERNET.rawValue)
    specification.rate = UInt32(clamping: bytesPerSecond)
    return specification
  }

  /// Rates from 2^32 bytes a second on travel in an attribute of their own (TCA_HTB_RATE64 and its like).
  var needs64Bits: Bool { bytesPerSecond > UInt64(UInt32.max) }

  /// - Parameter wide: the value of the 64-bit attribute where there was one.
  init(_ specification: tc_ratespec, wide: UInt64?) {
    self.init(bytesPerSecond: max(UInt64(specification.rate), wide ?? 0))
  }
}

extension DataRate: CustomStringConvertible {
  /// In bits a second, with the largest unit that leaves no remainder: `10 Mbit/s`.
  public var description: String {
    var (value, unit) = (bytesPerSecond.multipliedReportingOverflow(by: 8).partialValue, "")
    for next in ["k", "M", "G"] where value != 0 && value % 1000 == 0 { (value, unit) = (value / 1000, next) }
    return "\(value) \(unit)bit/s"
  }
}
