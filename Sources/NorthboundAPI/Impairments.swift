/// What a link is to do to the packets that leave an interface, by its file and the faults that stand, and what it did.
public struct ImpairmentDetail: Codable, Sendable, Equatable {
  public var delayMs: Double
  /// Each packet's delay lies anywhere from this much less to this much more.
  public var jitterMs: Double
  /// The far end loses it.
  public var lossPercent: Double
  /// bit/s; nil: no limit.
  public var rate: UInt64?
  public var achieved: AchievedImpairment

  public init(delayMs: Double, jitterMs: Double, lossPercent: Double, rate: UInt64?, achieved: AchievedImpairment) {
    self.delayMs = delayMs
    self.jitterMs = jitterMs
    self.lossPercent = lossPercent
    self.rate = rate
    self.achieved = achieved
  }
}

/// Counted where it happens. A frame that the kernel aggregated is one packet; nil: nobody there counts it.
public struct AchievedImpairment: Codable, Sendable, Equatable {
  /// Passed on by the relay that delays them, since it runs.
  public var packets: UInt64?
  /// Arrived at the relay and not passed on: its queue was full, or the far end took no more.
  public var dropped: UInt64?
  /// How long after their delay packets were passed on.
  public var lateMedianMs: Double?
  public var lateP99Ms: Double?
  public var lateMaxMs: Double?
  /// Arrived at the far end since it has this loss, without neighbour discovery, and how many of them were lost.
  public var offered: UInt64?
  public var lost: UInt64?
  /// Found the queue of the rate full.
  public var rateDropped: UInt64?

  public init(
    packets: UInt64? = nil, dropped: UInt64? = nil, lateMedianMs: Double? = nil, lateP99Ms: Double? = nil,
    lateMaxMs: Double? = nil, offered: UInt64? = nil, lost: UInt64? = nil, rateDropped: UInt64? = nil
  ) {
    self.packets = packets
    self.dropped = dropped
    self.lateMedianMs = lateMedianMs
    self.lateP99Ms = lateP99Ms
    self.lateMaxMs = lateMaxMs
    self.offered = offered
    self.lost = lost
    self.rateDropped = rateDropped
  }
}
