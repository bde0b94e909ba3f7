import Capture
import NetTypes
import PathProof

/// What the captures of a rate run saw, a few bytes for each record.
///
/// A stream is followed by its sequence numbers from the initial one on, on each interface under the addresses and ports
/// with which its SYN passed there: whatever NAT does, the packets are the run's.
struct RateRecorder {
  private enum Identity {
    case stream(first: UInt32)
    case datagrams(key: [UInt8])
  }

  private struct Side {
    var place: RatePlace
    /// Of a stream at its sender: when its stack made each of `passed`, ms of its own clock.
    var stamps: [UInt32] = []
  }

  private let identity: Identity
  private let from: String
  private let targets: [CaptureTarget]
  private let states: [CaptureState]
  private var sides: [[Side]]
  /// Of a stream: fingerprints of addresses and ports under which it was seen.
  private var flows: Set<UInt64> = []
  private var lastFlow: UInt64 = 0
  /// The least difference between the captures' clock, ns, and the sender's, ms: where a segment left at once.
  private var offset: Int64 = .max
  private var records = 0
  /// More has passed than is kept: the judgement rests on what came before.
  private(set) var isFull = false

  /// A stream is cut into units of this size; a datagram is one.
  static let unit: UInt32 = 1024
  private static let mostRecords = 4 * RateLimits.records

  init(_ plan: RatePlan, _ captures: FlowCapture) {
    identity =
      plan.flow.kind == .tcp
      ? .stream(first: plan.flow.firstSequence)
      : .datagrams(key: Array(plan.flow.key[0..<RateDatagram.keyLength]))
    from = plan.flow.from
    targets = captures.targets
    states = captures.states
    sides = targets.map { target in
      [false, true].map { Side(place: RatePlace(InterfacePlace(target.node, target.interface), outbound: $0)) }
    }
  }

  // MARK: Taking

  /// - Returns: whether it belongs to the run.
  mutating func take(_ frame: CapturedFrame) -> Bool {
    guard !isFull, let mac = states[frame.target].mac,
      let segment = FlowSegment(frame.bytes, wireLength: frame.wireLength)
    else { return false }
    let direction = Direction(destination: segment.destinationMAC, source: segment.sourceMAC, interface: mac)
    guard direction != .foreign else { return false }
    let side = direction == .outbound ? 1 : 0
    switch identity {
    case .stream(let first): return take(segment, first, frame, side)
    case .datagrams(let key): return take(segment, key, frame, side)
    }
  }

  private mutating func take(_ segment: FlowSegment, _ first: UInt32, _ frame: CapturedFrame, _ side: Int) -> Bool {
    if segment.flags.contains(.syn), segment.sequence == first { flows.insert(segment.flow) }
    guard segment.flow == lastFlow || flows.contains(segment.flow) else { return false }
    lastFlow = segment.flow
    let isSender = side == 1 && targets[frame.target].node == from
    if isSender, let stamp = segment.timestamp {
      offset = min(offset, Int64(frame.time) - Int64(stamp) * 1_000_000)
    }
    guard segment.length > 0 else { return true }
    let start = segment.sequence &- first &- 1
    guard start < RateLimits.stream else {
      isFull = true
      return false
    }
    let unit = Self.unit
    let begin = (start + unit - 1) / unit
    let end = (start + UInt32(segment.length) + unit - 1) / unit
    guard end > begin else { return true }
    keep(PassedUnits(time: frame.time, first: begin, count: end - begin), frame.target, side)
    if isSender { sides[frame.target][side].stamps.append(segment.timestamp ?? 0) }
    return true
  }

  private mutating func take(_ segment: FlowSegment, _ key: [UInt8], _ frame: CapturedFrame, _ side: Int) -> Bool {
    let start = segment.dataOffset
    guard frame.bytes.count >= start + RateDatagram.headerLength,
      frame.bytes[start..<start + RateDatagram.keyLength].elementsEqual(key),
      let number = FlowSegment.word(frame.bytes, start + RateDatagram.numberOffset)
    else { return false }
    keep(PassedUnits(time: frame.time, first: number), frame.target, side)
    return true
  }

  private mutating func keep(_ passed: PassedUnits, _ target: Int, _ side: Int) {
    sides[target][side].place.passed.append(passed)
    records += 1
    if records >= Self.mostRecords { isFull = true }
  }

  // MARK: Result

  var places: [RatePlace] { sides.joined().map(\.place).filter { !$0.passed.isEmpty } }

  /// When the sender's stack made what its interfaces saw, by the time stamps that the segments carry; to the ms.
  var made: [PassedUnits] {
    var made: [PassedUnits] = []
    for side in sides.joined() where side.place.outbound && side.place.place.node == from {
      for (passed, stamp) in zip(side.place.passed, side.stamps) {
        let time = offset == .max || stamp == 0 ? Int64(passed.time) : Int64(stamp) * 1_000_000 + offset
        made.append(
          PassedUnits(time: UInt64(min(max(time, 0), Int64(passed.time))), first: passed.first, count: passed.count))
      }
    }
    return made
  }

  static let stampResolution: UInt64 = 1_000_000

  /// Of datagrams, the highest number kept.
  var lastUnit: UInt32 { sides.joined().compactMap { $0.place.passed.last?.first }.max() ?? 0 }
}
