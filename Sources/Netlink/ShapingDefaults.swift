/// Bursts and queue lengths where a shape names none, and why they are what they are.
///
/// Measured on Linux 6.18, HZ 250: TCP cubic, 10 s, sender - router - receiver over veth, the router's egress shaped.
/// With these defaults the payload is 94 to 96 % of 1, 10, 100 and 1000 Mbit/s: what headers leave.
public enum ShapingDefaults {
  /// The largest packet that the stack aggregates (GSO_MAX_SIZE).
  public static let aggregatedPacket: UInt32 = 65_536
  /// CONFIG_HZ as most distributions have it. User space is not told the kernel's.
  public static let timerFrequency: UInt64 = 250

  /// Bytes that the bucket of HTB or TBF should hold: what passes in one tick of the kernel's timer and a packet; below
  /// 20 Mbit/s 80 ms' worth, but no more than 10,000 bytes; never less than two packets.
  ///
  /// The bucket is filled by time and lies full until somebody wakes up to send: when that comes a tick late, a smaller
  /// one has overflowed meanwhile and the rate is not reached (TBF, 1 Gbit/s, 16 kB: 88 %). A larger one lets its whole
  /// content pass at line rate after each pause: 70 kB at 1 Mbit/s is half a second's worth, which made 101 % of the
  /// rate over ten seconds and misled TCP about the path (121 retransmits of TBF, 128 of HTB). At 1 Mbit/s two packets
  /// are too few for the first flight of a connection, which then loses its end and waits for a time-out (TBF: 85 to
  /// 95 %); 10,000 bytes made 96 % with ten retransmits, 16,000 fifty.
  ///
  /// It need not hold an aggregated packet: HTB lets a packet larger than the bucket pass and waits longer afterwards;
  /// TBF cuts it into its segments (tbf_segment), which wait one by one. What drops instead of queueing does need to:
  /// see `policingBurst`.
  ///
  /// - Parameters:
  ///   - hz: ticks of the kernel's timer in a second.
  ///   - mtu: of the interface. TBF drops what is larger than the bucket and cannot be cut.
  ///   - packet: the largest packet that shall pass uncut, as IP hands it down (`aggregatedPacket`).
  public static func burst(
    rate: DataRate, hz: UInt64 = timerFrequency, mtu: UInt32 = 1500, holding packet: UInt32 = 0
  ) -> UInt32 {
    let frame = UInt64(mtu) + ethernetHeader
    let (late, overflow) = (rate.bytesPerSecond / max(1, hz)).addingReportingOverflow(frame)
    let small = max(2 * frame, min(10_000, rate.bytes(inMilliseconds: 80)))
    return UInt32(clamping: max(overflow ? .max : late, small, onWire(packet, mtu: mtu)))
  }

  /// Bytes that the bucket of a limit which drops what exceeds it should hold: at least one aggregated packet as the
  /// scheduler counts it. A policer drops an aggregated packet whole when the bucket holds less, and TCP starves
  /// (measured: 1 to 3 of 10 Mbit/s with 31 kB).
  public static func policingBurst(
    rate: DataRate, hz: UInt64 = timerFrequency, mtu: UInt32 = 1500, gsoSize: UInt32 = aggregatedPacket
  ) -> UInt32 {
    burst(rate: rate, hz: hz, mtu: mtu, holding: gsoSize)
  }

  /// Bytes that may wait: 50 ms at the rate, with two lower bounds.
  ///
  /// - 400 ms' worth between 15,140 bytes, TCP's first flight of ten packets, and 48 KiB: what TCP needs at a low rate
  ///   to recover a loss without a time-out.
  /// - For a class that may borrow: 50 ms at its ceil, but no more than 128 KiB of it, because the same queue makes
  ///   packets wait when nothing can be borrowed. A queue of less than two aggregated packets drops them whole at high
  ///   rates (100 Mbit/s: 5,021 retransmits with 32 KiB, 593 with 128 KiB, 82 with 50 ms' worth).
  public static func queueLimit(rate: DataRate, ceil: DataRate? = nil) -> UInt32 {
    let borrowed = min((ceil ?? rate).bytes(inMilliseconds: queueMilliseconds), 2 * UInt64(aggregatedPacket))
    let small = max(15_140, min(48 << 10, rate.bytes(inMilliseconds: 400)))
    return UInt32(clamping: max(rate.bytes(inMilliseconds: queueMilliseconds), borrowed, small))
  }

  /// CoDel that marks, for a queue of so many bytes. Its target is 5 ms, or as long as one and a half packets take at the
  /// rate: a queue that holds the packet being sent is not a standing one (RFC 8289 section 4.3).
  public static func codel(rate: DataRate, bytes: UInt32, mtu: UInt32 = 1500) -> CoDel {
    let frame = UInt64(mtu) + ethernetHeader
    let transmission = frame * 1_500_000 / max(1, rate.bytesPerSecond)
    var codel = CoDel()
    codel.marks = true
    codel.limit = UInt32(clamping: max(10, (UInt64(bytes) + frame - 1) / frame))
    codel.target = max(codel.target, .microseconds(Int64(min(transmission, 100_000))))
    return codel
  }

  private static let queueMilliseconds: UInt64 = 50

  private static let ethernetHeader: UInt64 = 14
  /// IPv6 and TCP with all its options: the most that each segment repeats.
  private static let segmentHeaders: UInt64 = 40 + 60

  /// What the scheduler charges for an aggregated packet: its bytes, and the headers of each segment (the kernel's
  /// qdisc_pkt_len_init, net/core/dev.c).
  private static func onWire(_ packet: UInt32, mtu: UInt32) -> UInt64 {
    let payload = UInt64(max(mtu, 576)) - segmentHeaders
    let segments = (UInt64(packet) + payload - 1) / payload
    return UInt64(packet) + segments * (ethernetHeader + segmentHeaders)
  }
}
