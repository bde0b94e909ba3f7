import ControlProtocol
import NetTypes
import PathProof

/// A rate request, checked.
struct RatePlan {
  /// Whose packets, from where to where; its count is 1.
  var flow: TracePlan
  var to: String
  var toNamespace: String
  /// Where to receive: the destination, or where NAT leads from there.
  var receiver: Endpoint
  /// ns.
  var duration: UInt64
  /// bit/s of payload; nil: as fast as it goes.
  var rate: UInt64?
  /// Bytes of a datagram; nil: what fits the first link, 1400 at most.
  var payload: Int?
  /// The octet of the IP header: the code point and two bits of ECN.
  var trafficClass: Int32

  static let port: UInt32 = 5201  // iperf3's
  static let longest: UInt32 = 600_000
  /// Number, key and time stand in every datagram.
  static let smallestPayload = RateDatagram.headerLength
  static let largestPayload = 65_000
  static let usualPayload = 1400

  init(_ request: NLRateRequest) throws(TraceRefusal) {
    var flow = request.flow
    if flow.port == 0 { flow.port = Self.port }
    flow.count = 1
    guard flow.protocol != .icmp else { throw TraceRefusal(reason: "a rate is one of tcp or udp") }
    self.flow = try TracePlan(flow)
    guard let to = self.flow.to, let namespace = self.flow.toNamespace else {
      throw TraceRefusal(reason: "\(self.flow.destination) is no node of the lab: nobody receives there")
    }
    guard to != self.flow.from else {
      throw TraceRefusal(reason: "\(to) to itself: such traffic passes no interface")
    }
    (self.to, toNamespace) = (to, namespace)
    receiver = Endpoint(self.flow.destination, self.flow.port)
    guard request.durationMs > 0, request.durationMs <= Self.longest else {
      throw TraceRefusal(reason: "a duration of \(request.durationMs) ms: 1 to \(Self.longest) are possible")
    }
    duration = UInt64(request.durationMs) * 1_000_000
    rate = request.rate == 0 ? nil : request.rate
    guard self.flow.kind == .tcp || rate != nil else { throw TraceRefusal(reason: "udp needs a rate to offer") }
    payload = request.payload == 0 ? nil : Int(request.payload)
    guard payload.map({ (Self.smallestPayload...Self.largestPayload).contains($0) }) ?? true else {
      throw TraceRefusal(
        reason: "datagrams of \(request.payload) bytes: \(Self.smallestPayload) to \(Self.largestPayload) are possible")
    }
    guard request.dscp < 64 else { throw TraceRefusal(reason: "DSCP \(request.dscp): 0 to 63 are possible") }
    trafficClass = Int32(request.dscp) << 2
  }

  /// A trace of the run's flow.
  func traced(_ request: NLRateRequest) -> NLTraceRequest {
    var trace = request.flow
    trace.port = UInt32(flow.port)
    return trace
  }

  /// The same run again, received where NAT leads it.
  func turned(to reached: Proof.Reached, _ request: NLRateRequest) throws(TraceRefusal) -> RatePlan {
    var plan = try RatePlan(request)
    guard let node = request.flow.nodes.first(where: { $0.name == reached.node }), plan.flow.from != reached.node else {
      throw TraceRefusal(reason: "\(reached.node), where the packets are translated to, cannot receive")
    }
    (plan.to, plan.toNamespace) = (reached.node, TracePlan.namespace(node.pid))
    plan.receiver = reached.destination
    return plan
  }

  /// Of datagrams; streams are followed whole.
  var sample: RateSample { RateSample(rate: flow.kind == .udp ? rate ?? 0 : 0, payload: payload ?? Self.usualPayload) }
}
