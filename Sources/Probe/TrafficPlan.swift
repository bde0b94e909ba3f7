import ControlProtocol
import EventLoop
import NetTypes
import PathProof

/// A traffic request, checked.
struct TrafficPlan {
  let id: UInt64
  /// Whose packets, from where to where; its count is 1.
  var flow: TracePlan
  /// Where to receive; nil: whoever has the address answers (icmp).
  var far: FarEnd?
  /// ns.
  let duration: UInt64
  /// Datagrams, or records of a stream, a second; nil: a stream as fast as it goes.
  let pace: Double?
  /// Bytes of a datagram or record.
  let payload: Int
  /// Nobody wrote the payload: it may become less where the way takes no more in one piece.
  let adapts: Bool
  /// The octet of the IP header: the code point and two bits of ECN.
  let trafficClass: Int32

  struct FarEnd {
    var node: String
    var namespace: String
    var endpoint: Endpoint
  }

  static let port: UInt32 = 5202
  static let longest: UInt32 = 3_600_000
  static let smallestPayload = RateDatagram.headerLength
  static let largestPayload = 65_000
  private static let usualPayload: (ofRate: Int, ofPackets: Int) = (1400, 64)
  /// Where nothing says how much.
  private static let usualRate: UInt64 = 1_000_000
  private static let usualEchoes: Double = 100

  init(_ request: NLTrafficRequest) throws(TraceRefusal) {
    var traced = request.flow
    traced.count = 1
    if traced.port == 0, traced.protocol != .icmp { traced.port = Self.port }
    id = request.id
    flow = try TracePlan(traced)
    far = try Self.farEnd(flow)
    guard request.durationMs <= Self.longest else {
      throw TraceRefusal(reason: "a duration of \(request.durationMs) ms: \(Self.longest) at most")
    }
    duration = UInt64(request.durationMs == 0 ? Self.longest : request.durationMs) * 1_000_000
    guard request.dscp < 64 else { throw TraceRefusal(reason: "DSCP \(request.dscp): 0 to 63 are possible") }
    trafficClass = Int32(request.dscp) << 2
    adapts = request.payload == 0
    payload = try Self.payload(request)
    pace = try Self.pace(request, flow.kind, payload)
  }

  private static func farEnd(_ flow: TracePlan) throws(TraceRefusal) -> FarEnd? {
    guard flow.to != flow.from else {
      throw TraceRefusal(reason: "\(flow.from) to itself: such traffic passes no interface")
    }
    guard flow.kind != .icmp else { return nil }
    guard let node = flow.to, let namespace = flow.toNamespace else {
      throw TraceRefusal(
        reason: "\(flow.destination) is no node of the lab: nobody receives there; icmp asks whoever answers")
    }
    return FarEnd(node: node, namespace: namespace, endpoint: Endpoint(flow.destination, flow.port))
  }

  private static func payload(_ request: NLTrafficRequest) throws(TraceRefusal) -> Int {
    guard request.payload != 0 else {
      let isPaced = request.packetsPerSecond > 0 || request.flow.protocol == .icmp && request.rate == 0
      return isPaced ? usualPayload.ofPackets : usualPayload.ofRate
    }
    guard (smallestPayload...largestPayload).contains(Int(request.payload)) else {
      throw TraceRefusal(
        reason: "datagrams of \(request.payload) bytes: \(smallestPayload) to \(largestPayload) are possible")
    }
    return Int(request.payload)
  }

  private static func pace(
    _ request: NLTrafficRequest, _ kind: TracedFlow.Kind, _ payload: Int
  ) throws(TraceRefusal) -> Double? {
    guard request.rate == 0 || request.packetsPerSecond == 0 else {
      throw TraceRefusal(reason: "a rate or packets per second: one says the other")
    }
    if request.packetsPerSecond > 0 { return Double(request.packetsPerSecond) }
    if request.rate > 0 { return Double(request.rate) / 8 / Double(payload) }
    switch kind {
    case .tcp: return nil
    case .udp: return Double(usualRate) / 8 / Double(payload)
    case .icmp: return usualEchoes
    }
  }

  /// What it asks of the machine.
  var load: TrafficLoad {
    guard let pace else { return .unpaced }
    return TrafficLoad(packets: pace, bits: pace * 8 * Double(payload))
  }

  /// The same traffic, received where NAT leads it.
  mutating func turn(to reached: Proof.Reached, _ request: NLTrafficRequest) throws(TraceRefusal) {
    guard let node = request.flow.nodes.first(where: { $0.name == reached.node }), flow.from != reached.node else {
      throw TraceRefusal(reason: "\(reached.node), where the packets are translated to, cannot receive")
    }
    far = FarEnd(
      node: reached.node, namespace: TracePlan.namespace(node.pid), endpoint: reached.destination)
  }
}

/// What streams ask of the machine together, and how much of it there is: a datagram costs a processor several
/// microseconds on a way of a few nodes, and the lab needs processors for its own work.
struct TrafficLoad: Equatable {
  var packets: Double
  var bits: Double

  static let none = TrafficLoad(packets: 0, bits: 0)
  static let most = TrafficLoad(packets: 50_000, bits: 500_000_000)
  /// Of a stream as fast as it goes: it is held to this.
  static let unpaced = TrafficLoad(packets: 18_000, bits: 200_000_000)
  static let streams = 64

  static func + (a: TrafficLoad, b: TrafficLoad) -> TrafficLoad {
    TrafficLoad(packets: a.packets + b.packets, bits: a.bits + b.bits)
  }

  /// Why that is too much; nil: it is not.
  var excess: String? {
    if packets > Self.most.packets {
      return "\(Int(packets)) packets/s in all: \(Int(Self.most.packets)) are possible, so that the lab can run"
    }
    if bits > Self.most.bits {
      return "\(Int(bits / 1e6)) Mbit/s in all: \(Int(Self.most.bits / 1e6)) are possible, so that the lab can run"
    }
    return nil
  }
}
