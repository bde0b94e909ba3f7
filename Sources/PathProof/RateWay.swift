// The places of a transmission in the order in which it passes them, and what happened between each two.
//
//   sending program ─ sender ─► h1:eth1 ─ link ─► r1:eth0 ─ node ─► r1:eth1 ─ link ─► web:eth1 ─ receiver ─► program
//                                 out                in               out               in
//
// The order is the packets' own: the place that some unit reached sooner stands first. A way that changes during the
// transmission leaves both branches in the row; units then miss some places, and count where they were seen.

struct RateWay {
  private struct Station {
    var place: RatePlace?
    var times: UnitTimes
  }

  private(set) var segments: [RateSegment] = []
  /// All copies of all units, as the sender's interface saw them.
  private(set) var copies = 0
  private var stations: [Station] = []
  /// From the first to the last time that the sender's interface saw.
  private(set) var span: Range<UInt64> = 0..<0

  init(_ observations: RateObservations) {
    let count = 1 + (observations.sent.map { Int($0.first) + Int($0.count) - 1 }.max() ?? -1)
    var stations = Self.ordered(observations.places.filter { !$0.passed.isEmpty }, count)
    guard let first = stations.first?.place?.passed else { return }
    span = first[0].time..<max(first[0].time + 1, first[first.count - 1].time)
    stations.insert(Station(place: nil, times: UnitTimes(observations.sent, count: count)), at: 0)
    if let received = observations.received {
      stations.append(Station(place: nil, times: UnitTimes(received, count: count)))
    }
    join(stations, count)
    if observations.isStream { addStreamLosses(stations, observations, count) }
    copies = observations.sent.reduce(0) { $0 + Int($1.count) }
    self.stations = stations
  }

  // MARK: Order

  /// By the shortest time from the first place, which is the one that saw the first unit first.
  private static func ordered(_ places: [RatePlace], _ count: Int) -> [Station] {
    let stations = places.map { Station(place: $0, times: UnitTimes($0.passed, count: count)) }
    guard
      let start = stations.indices.min(by: {
        (places[$0].passed[0].time, places[$1].outbound ? 1 : 0) < (
          places[$1].passed[0].time, places[$0].outbound ? 1 : 0
        )
      })
    else { return [] }
    let origin = stations[start].times
    let distances = stations.indices.map { index -> UInt64 in
      if index == start { return 0 }
      let times = stations[index].times
      var shortest = UInt64.max
      for unit in 0..<count where times.copies[unit] > 0 && origin.copies[unit] > 0 {
        let (distance, early) = times.last[unit].subtractingReportingOverflow(origin.last[unit])
        if !early { shortest = min(shortest, distance) }
      }
      return shortest
    }
    return stations.indices.sorted { (distances[$0], $0) < (distances[$1], $1) }.map { stations[$0] }
  }

  // MARK: Segments

  private mutating func join(_ stations: [Station], _ count: Int) {
    // Copies that got at least as far as each station: those seen there, or further on.
    var reached = stations.map(\.times.copies)
    for index in reached.indices.dropLast().reversed() {
      for unit in 0..<count { reached[index][unit] = max(reached[index][unit], reached[index + 1][unit]) }
    }
    for index in stations.indices.dropLast() {
      var segment = Self.segment(stations[index].place, stations[index + 1].place)
      Self.fill(&segment, stations[index].times, stations[index + 1].times, count)
      let lastEntry = segment.samples.last?.entered ?? .max
      for unit in 0..<count {
        segment.entered += Int(reached[index][unit])
        let lost = reached[index][unit] - reached[index + 1][unit]
        guard lost > 0 else { continue }
        // What came after everything that left may still be under way.
        let time = stations[index].times.first[unit]
        if time > 0, time <= lastEntry { for _ in 0..<lost { segment.losses.append(time) } }
      }
      segment.losses.sort()
      segments.append(segment)
    }
  }

  private static func segment(_ entry: RatePlace?, _ exit: RatePlace?) -> RateSegment {
    guard let entry else { return RateSegment(.sender, entry: nil, exit: exit) }
    guard let exit else { return RateSegment(.receiver, entry: entry, exit: nil) }
    let isNode = !entry.outbound && exit.outbound && entry.place.node == exit.place.node
    return RateSegment(isNode ? .node : .link, entry: entry, exit: exit)
  }

  /// Copies are paired from the latest on: those without a partner are the earlier ones, which were lost and came again.
  private static func fill(_ segment: inout RateSegment, _ a: UnitTimes, _ b: UnitTimes, _ count: Int) {
    var base = UInt64.max
    var isOrdered = true
    func add(_ entered: UInt64, _ left: UInt64) {
      guard left >= entered else { return }
      base = min(base, left - entered)
      if let last = segment.samples.last, last.entered > entered { isOrdered = false }
      segment.samples.append(.init(entered: entered, left: left))
    }
    for unit in 0..<count where a.copies[unit] > 0 && b.copies[unit] > 0 {
      if a.copies[unit] > 1, a.copies[unit] == b.copies[unit] { add(a.first[unit], b.first[unit]) }
      add(a.last[unit], b.last[unit])
    }
    if !isOrdered { segment.samples.sort { $0.entered < $1.entered } }
    // A router takes microseconds: where every packet of a flow stays longer, another flow's stand before it all the time.
    segment.base = base == .max ? 0 : segment.kind == .node ? min(base, RateSegment.shortestWait) : base
  }

  /// What only counters and repetitions tell: copies that never left the sender, and copies that came to the receiver's
  /// interface and had to come again.
  private mutating func addStreamLosses(_ stations: [Station], _ observations: RateObservations, _ count: Int) {
    guard let end = stations.last, let place = end.place, !segments.isEmpty else { return }
    segments[0].losses += Array(repeating: span.lowerBound, count: observations.unsentCopies)
    segments[0].entered += observations.unsentCopies
    var receiver = RateSegment(.receiver, entry: place, exit: nil)
    guard !place.outbound, place.place.node == observations.to else { return }
    for unit in 0..<count where end.times.copies[unit] > 0 {
      receiver.entered += Int(end.times.copies[unit])
      for _ in 1..<end.times.copies[unit] { receiver.losses.append(end.times.first[unit]) }
    }
    receiver.losses = Array(receiver.losses.sorted().dropFirst(observations.spuriousCopies))
    segments.append(receiver)
  }

  // MARK: Delays

  /// Of units that arrived, when and how long after they were sent, ns: in order of arrival.
  /// - Parameter fromProgram: since the sending program, or stack; otherwise since the sender's interface.
  func arrivals(_ observations: RateObservations, fromProgram: Bool) -> [RateVerdict.Arrival] {
    // A receiving program reads when it is its turn; its interface knows better, where it was captured.
    guard stations.count > 1,
      let end = stations.last(where: { $0.place.map { !$0.outbound && $0.place.node == observations.to } ?? false })
        ?? (observations.received == nil ? nil : stations.last)
    else { return [] }
    let start = stations[fromProgram ? 0 : 1].times
    var arrivals: [RateVerdict.Arrival] = []
    for unit in end.times.copies.indices where end.times.copies[unit] > 0 && start.copies[unit] > 0 {
      let (sent, arrived) =
        start.copies[unit] == end.times.copies[unit]
        ? (start.first[unit], end.times.first[unit]) : (start.last[unit], end.times.last[unit])
      arrivals.append(.init(time: arrived, delay: arrived > sent ? arrived - sent : 0))
    }
    return arrivals.sorted { $0.time < $1.time }
  }
}
