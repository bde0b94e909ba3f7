// What limited a transmission, from the packets at every place of its way.
//
// A shaper makes packets wait: most of the time something stands in its queue, and what it loses it loses while the queue
// is full. A policer lets packets through at once or not at all. Of several the lowest binds:
//   - a stream adapts to it, so no other queue is used up; only the binding one is never empty;
//   - datagrams do not adapt: the last place that holds them up or loses them lets through the least.
// Loss on a link is the link's, a wait of less than a millisecond the processor's.

public struct RateVerdict: Sendable, Equatable {
  public enum Limit: Sendable { case none, shaping, policing }

  public var limit: Limit
  /// The evidence in words.
  public var because: String
  /// Of the queue or the policer.
  public var place: InterfacePlace?
  /// Of units that arrived, in order of arrival: when, and how long after they were sent, ns.
  public var arrivals: [Arrival]
  /// When units came to the place where they were lost, in order; repeated copies of a stream among them.
  public var losses: [UInt64]

  public struct Arrival: Sendable, Equatable {
    public var time: UInt64
    public var delay: UInt64
  }
}

public struct RateJudge {
  private let observations: RateObservations
  private let way: RateWay
  /// Of each segment.
  private let readings: [RateSegment.Reading]
  private let window: Range<UInt64>

  /// Never empty where it binds.
  private static let saturated = 0.9
  /// Used more than not.
  private static let queueing = 0.5
  /// Of what came: a stream backs off at once, datagrams do not.
  private static let streamLoss = 0.003
  private static let datagramLoss = 0.02
  private static let fewestLosses = 3

  public static func judge(_ observations: RateObservations) -> RateVerdict {
    let judge = RateJudge(observations)
    var verdict = observations.isStream ? judge.stream() : judge.datagrams()
    // A stack's time stamps are coarse: they count where it was its own interface that made the stream wait.
    let waitsInside = judge.readings.first.map { $0.busy >= Self.queueing } ?? false
    verdict.arrivals = judge.way.arrivals(observations, fromProgram: !observations.isStream || waitsInside)
    if observations.repeatedCopies != 0 { verdict.losses = judge.way.segments.flatMap(\.losses).sorted() }
    return verdict
  }

  private init(_ observations: RateObservations) {
    self.observations = observations
    way = RateWay(observations)
    // Buckets are full and windows small in the beginning.
    let start = way.span.lowerBound + UInt64(way.span.count) * 2 / 5
    window = start..<max(start + 1, way.span.upperBound)
    let (window, resolution) = (self.window, observations.sentResolution)
    readings = way.segments.map { $0.read(window, resolution: $0.kind == .sender ? resolution : 0) }
  }

  // MARK: Verdicts

  private func stream() -> RateVerdict {
    let queues = readings.indices.filter { way.segments[$0].kind != .receiver }
    let busiest = queues.max { (readings[$0].busy, readings[$0].wait) < (readings[$1].busy, readings[$1].wait) }
    if let busiest, readings[busiest].busy >= Self.saturated { return shaping(busiest) }
    // What a policer dropped before the stream found its rate does not limit it where a queue does now.
    let isQueueing = busiest.map { readings[$0].busy >= Self.queueing } ?? false
    let policers = readings.indices.filter {
      drops($0, share: Self.streamLoss) && (!isQueueing || readings[$0].policedLate > 0)
    }
    if let worst = policers.max(by: { readings[$0].policed < readings[$1].policed }) { return policing(worst) }
    if let busiest, readings[busiest].busy >= Self.queueing { return shaping(busiest) }
    return none()
  }

  private func datagrams() -> RateVerdict {
    for index in readings.indices.reversed() {
      let queues = way.segments[index].kind != .receiver
      if queues, isCrowded(readings[index]) { return shaping(index) }
      let waits = queues && readings[index].busy >= Self.queueing
      let drops = drops(index, share: Self.datagramLoss)
      // A queue after a policer of the same node, and which of them: the queue only where it is never empty.
      if waits, !drops || readings[index].busy >= Self.saturated { return shaping(index) }
      if drops { return policing(index) }
    }
    return none()
  }

  /// A queue that others keep full: of a flow with few packets none may be in it for most of the time, but what came
  /// waited, or was lost among those that waited, and less was lost otherwise.
  private func isCrowded(_ reading: RateSegment.Reading) -> Bool {
    reading.overflowed >= Self.fewestLosses && reading.overflowed > reading.policed
      && reading.overflowedShare >= Self.datagramLoss && reading.wait >= Double(RateSegment.shortestWait)
  }

  private func drops(_ index: Int, share: Double) -> Bool {
    if let repeated = observations.repeatedCopies,
      repeated < Self.fewestLosses || Double(repeated) < share * Double(way.copies)
    {
      return false
    }
    return way.segments[index].kind != .link && readings[index].policed >= Self.fewestLosses
      && readings[index].policedShare >= share
  }

  // MARK: Words

  private func shaping(_ index: Int) -> RateVerdict {
    let (segment, reading) = (way.segments[index], readings[index])
    let place = segment.kind == .link ? segment.entry?.place : segment.exit?.place
    var text =
      "packets waited \(milliseconds(reading.wait)) to leave \(name(place)) (unloaded \(milliseconds(Double(segment.base)))), "
      + "\(percent(reading.busy)) of the time something waited, \(rate(reading.passed)) passed"
    if reading.overflowed > 0 { text += "; \(reading.overflowed) \(units) found the queue full" }
    return verdict(.shaping, text, place)
  }

  private func policing(_ index: Int) -> RateVerdict {
    let (segment, reading) = (way.segments[index], readings[index])
    let place = segment.entry?.place ?? segment.exit?.place
    let fate =
      switch segment.kind {
      case .sender: "of what was sent never left by \(name(place))"
      case .receiver: "of what came to \(name(place)) was not delivered"
      case .node, .link: "of what came to \(name(place)) never left \(place?.node ?? "it")"
      }
    let queue = reading.busy < 0.1 ? "without a queue" : "while its queue was not full"
    var text = "\(percent(reading.policedShare)) \(fate), \(queue)"
    if segment.kind == .node {
      text += ": what passed took \(milliseconds(Double(segment.base) + reading.wait)), \(rate(reading.passed))"
    }
    return verdict(.policing, text, place)
  }

  private func none() -> RateVerdict {
    let seen = way.segments.reduce(0) { $0 + $1.losses.count }
    let lost = min(seen, observations.repeatedCopies ?? seen)
    let longest = readings.indices.max { readings[$0].wait < readings[$1].wait }.map { readings[$0].wait } ?? 0
    var text = "no place held packets up (at most \(milliseconds(longest)), median)"
    text += lost == 0 ? ", none was lost" : ", \(lost) \(units) lost, too few to limit it"
    // Where the sender knows of fewer, the rest is what captures missed.
    for link in way.segments where lost == seen && link.kind == .link && !link.losses.isEmpty {
      text += "; \(link.losses.count) of them between \(name(link.entry?.place)) and \(name(link.exit?.place))"
    }
    return verdict(.none, text, nil)
  }

  private func verdict(_ limit: RateVerdict.Limit, _ because: String, _ place: InterfacePlace?) -> RateVerdict {
    RateVerdict(limit: limit, because: because, place: place, arrivals: [], losses: [])
  }

  private var units: String { observations.isStream ? "KiB" : "datagrams" }

  private func name(_ place: InterfacePlace?) -> String { place?.description ?? "the sender" }

  private func milliseconds(_ nanoseconds: Double) -> String { "\(decimal(nanoseconds / 1e6, 100)) ms" }

  private func percent(_ share: Double) -> String { "\(decimal(share * 100, 10)) %" }

  private func rate(_ passed: Int) -> String {
    let bits = Double(passed * observations.unitBytes * 8)
    return "\(decimal(bits * 1000 / Double(max(1, window.count)), 100)) Mbit/s"
  }

  private func decimal(_ value: Double, _ steps: Double) -> String { "\((value * steps).rounded() / steps)" }
}
