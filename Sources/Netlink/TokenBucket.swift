internal import CLinux

/// The qdisc `tbf`: one rate for everything that leaves the interface (kernel: net/sched/sch_tbf.c).
public struct TokenBucket: Hashable, Sendable {
  public var rate: DataRate
  /// Bytes that may go at once after a pause. An aggregated packet larger than this is cut up by the kernel, an
  /// ordinary one is dropped: never less than the MTU and its header.
  public var burst: UInt32
  /// Most bytes that wait.
  public var limit: UInt32
  /// A second, faster bucket that keeps the burst itself from going at line rate.
  public var peak: Peak?

  public struct Peak: Hashable, Sendable {
    /// Above the rate, or the kernel refuses it.
    public var rate: DataRate
    /// Bytes of its bucket: the largest packet, at least.
    public var burst: UInt32

    public init(rate: DataRate, burst: UInt32 = 1514) {
      self.rate = rate
      self.burst = burst
    }
  }

  public init(rate: DataRate, burst: UInt32? = nil, limit: UInt32, peak: Peak? = nil) {
    self.rate = rate
    self.burst = burst ?? ShapingDefaults.burst(rate: rate)
    self.limit = limit
    self.peak = peak
  }

  /// The limit by the longest time that a packet waits (tc's `latency`): limit = rate × latency + burst, and of the
  /// peak's likewise, whichever is smaller.
  public init(rate: DataRate, burst: UInt32? = nil, latencyMilliseconds: UInt64, peak: Peak? = nil) {
    self.init(rate: rate, burst: burst, limit: 0, peak: peak)
    var bytes = rate.bytes(inMilliseconds: latencyMilliseconds).addingSaturated(UInt64(self.burst))
    if let peak {
      bytes = min(bytes, peak.rate.bytes(inMilliseconds: latencyMilliseconds).addingSaturated(UInt64(peak.burst)))
    }
    limit = UInt32(clamping: bytes)
  }

  /// As the kernel reads it back: bursts in whole ticks of their rates.
  public var kept: TokenBucket {
    var kept = self
    kept.burst = Self.kept(burst, rate)
    if let peak { kept.peak?.burst = Self.kept(peak.burst, peak.rate) }
    return kept
  }
}

// MARK: - Coding

extension TokenBucket {
  init?(_ options: Attribute) {
    var parameters: tc_tbf_qopt?
    var (wideRate, widePeak): (UInt64?, UInt64?)
    for attribute in options.nested {
      switch Int(attribute.type.rawValue) {
      case TCA_TBF_PARMS: parameters = attribute.structure(tc_tbf_qopt.self)
      case TCA_TBF_RATE64: wideRate = attribute.integer()
      case TCA_TBF_PRATE64: widePeak = attribute.integer()
      default: break
      }
    }
    guard let parameters else { return nil }
    let rate = DataRate(parameters.rate, wide: wideRate)
    self.init(rate: rate, burst: Self.bytes(parameters.buffer, rate), limit: parameters.limit)
    let peakRate = DataRate(parameters.peakrate, wide: widePeak)
    if peakRate.bytesPerSecond > 0 {
      peak = Peak(rate: peakRate, burst: Self.bytes(parameters.mtu, peakRate))
    }
  }

  func put(_ batch: inout MessageBatch) {
    var parameters = tc_tbf_qopt()
    parameters.rate = rate.specification
    parameters.limit = limit
    parameters.buffer = rate.ticks(for: burst)
    if let peak {
      parameters.peakrate = peak.rate.specification
      parameters.mtu = peak.rate.ticks(for: peak.burst)
    } else {
      // Zero would make the kernel look for the old table of the peak's rate.
      parameters.peakrate.linklayer = UInt8(TC_LINKLAYER_ETHERNET.rawValue)
    }
    if rate.needs64Bits { batch.put(AttributeType(TCA_TBF_RATE64), rate.bytesPerSecond) }
    if let peak, peak.rate.needs64Bits { batch.put(AttributeType(TCA_TBF_PRATE64), peak.rate.bytesPerSecond) }
    batch.put(AttributeType(TCA_TBF_PARMS), structure: parameters)
    if Self.isBeyondTicks(parameters.buffer) { batch.put(AttributeType(TCA_TBF_BURST), Self.kept(burst, rate)) }
    if let peak, Self.isBeyondTicks(parameters.mtu) {
      batch.put(AttributeType(TCA_TBF_PBURST), Self.kept(peak.burst, peak.rate))
    }
  }

  /// tbf_change takes no more than 2^32 ns from ticks when it reckons the largest packet that may pass: 4.3 s, which a
  /// burst of 64 KiB exceeds below 122 kbit/s. Longer bursts are sent in bytes (TCA_TBF_BURST) too; the kernel then
  /// reckons the ticks itself, rounding down, and a tick is much less than a byte. Below that ticks alone are sent:
  /// they come back as they were, where the kernel's own could differ by one. Beyond 274 s ticks overflow: what is sent
  /// in bytes stops there too.
  private static func isBeyondTicks(_ ticks: UInt32) -> Bool {
    UInt64(ticks) * DataRate.nanosecondsPerTick > UInt64(UInt32.max)
  }

  private static func bytes(_ ticks: UInt32, _ rate: DataRate) -> UInt32 {
    isBeyondTicks(ticks) ? rate.bytes(nearestToTicks: ticks) : rate.bytes(inTicks: ticks)
  }

  private static func kept(_ bytes: UInt32, _ rate: DataRate) -> UInt32 {
    let ticks = rate.ticks(for: bytes)
    return ticks == .max ? rate.bytes(inTicks: ticks) : Self.bytes(ticks, rate)
  }
}

extension UInt64 {
  fileprivate func addingSaturated(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
