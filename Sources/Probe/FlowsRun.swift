// One look at the flows of a lab, from request to reply, on the thread that calls it. Nothing is sent.
//
//   rings on every interface open ─► emptied as they fill ─► LiveFlowTable ─► LiveProver ─► reply
//
// The filter is pcap-filter(7)'s, so these captures are libpcap's. Rings are bounded together, and so is the table: what a
// ring loses is counted and said, for each interface, and makes the flows undecided that passed there.
import Capture
public import ControlProtocol
import EventLoop
import Glibc
import NetTypes
import PathProof

public struct FlowsRun {
  private let request: NLFlowsRequest
  private let stop: StopFlag
  private let limit: Int
  private let captures: CaptureSet
  private var table: LiveFlowTable

  public static let longest: UInt32 = 600_000
  private static let usualLimit = 1000
  private static let mostFlows = 10_000
  /// Headers with options and extensions, and what datagrams are told apart by.
  private static let snapLength = 256

  /// Carries out a request. A reply with `error` set says that there was no look.
  public static func run(_ request: NLFlowsRequest, stop: StopFlag = StopFlag(), _ reply: (NLFlowsReply) -> Void) {
    do {
      var run = try FlowsRun(request, stop)
      reply(try run.carryOut())
    } catch {
      var failure = NLFlowsReply()
      failure.error = (error as? TraceRefusal)?.reason ?? "\(error)"
      reply(failure)
    }
  }

  private init(_ request: NLFlowsRequest, _ stop: StopFlag) throws {
    guard request.durationMs > 0, request.durationMs <= Self.longest else {
      throw TraceRefusal(reason: "a duration of \(request.durationMs) ms: 1 to \(Self.longest) are possible")
    }
    guard request.limit <= Self.mostFlows else {
      throw TraceRefusal(reason: "\(request.limit) flows: \(Self.mostFlows) at most")
    }
    self.request = request
    self.stop = stop
    limit = request.limit == 0 ? Self.usualLimit : Int(request.limit)
    let switches = Set(request.flow.nodes.filter { $0.kind == "switch" }.map(\.name))
    let targets = request.flow.points.filter { !switches.contains($0.node) }.map {
      CaptureTarget(
        node: $0.node, interface: $0.interface, namespace: TracePlan.namespace($0.pid), description: $0.description_p)
    }
    if !request.filter.isEmpty { try CaptureFilter.check(request.filter) }
    let filter = request.filter.isEmpty ? "ip or ip6" : "(ip or ip6) and (\(request.filter))"
    captures = try CaptureSet(
      targets,
      CaptureOptions(
        filter: filter, snapLength: Self.snapLength, ringBytes: Self.ringBytes(targets.count), immediate: false))
    table = LiveFlowTable(addresses: captures.states.map(\.mac), limit: Self.tuplesPerFlow * limit)
  }

  /// A flow has one, and one more for each translation.
  private static let tuplesPerFlow = 3

  /// All together 128 MiB, unless there are more than 256: a ring is made of blocks of 256 KiB, and one of them is read
  /// while another is filled.
  private static func ringBytes(_ count: Int) -> Int { min(4 << 20, max(512 << 10, (128 << 20) / max(1, count))) }

  private mutating func carryOut() throws -> NLFlowsReply {
    let start = Tracer.realtime()
    let limit = EventLoop.clock() + UInt64(request.durationMs) * 1_000_000
    while !stop.isRaised, case let now = EventLoop.clock(), now < limit {
      let pause = min((limit - now) / 1_000_000 + 1, UInt64(CaptureOptions.blockTimeout))
      captures.poll(milliseconds: Int32(pause)) { take($0, since: start) }
    }
    if stop.isRaised { throw TraceRefusal(reason: "the look was ended early") }
    let end = Tracer.realtime()
    // The last blocks are handed over within the block time.
    let patience = EventLoop.clock() + UInt64(CaptureOptions.blockTimeout + 20) * 1_000_000
    while case let now = EventLoop.clock(), now < patience {
      captures.poll(milliseconds: Int32((patience - now) / 1_000_000) + 1) { take($0, since: start, until: end) }
    }
    captures.drain { take($0, since: start, until: end) }
    return reply(start...max(start, end))
  }

  /// Only what passed while every interface was captured.
  private mutating func take(_ frame: CapturedFrame, since start: UInt64, until end: UInt64 = .max) {
    guard frame.time >= start, frame.time <= end else { return }
    table.take(frame.bytes, wireLength: frame.wireLength, interface: frame.target, time: frame.time)
  }

  private func reply(_ window: ClosedRange<UInt64>) -> NLFlowsReply {
    let counters = captures.statistics()
    let graph = LabGraph(request.flow, interfaces: observed(counters))
    let flows = LiveProver.prove(table, graph, window: window)
    var reply = NLFlowsReply()
    reply.flows = flows.prefix(limit).map(NLLiveFlow.init)
    reply.captured = table.captured
    reply.dropped = counters.reduce(0) { $0 + ($1?.dropped ?? 0) }
    reply.flowsOverLimit = UInt64(table.flowsOverLimit + max(0, flows.count - limit))
    reply.notOurs = table.notOurs
    reply.seconds = Double(window.upperBound - window.lowerBound) / 1e9
    return reply
  }

  private func observed(_ counters: [CaptureStatistics?]) -> [ObservedInterface] {
    captures.targets.indices.map { index in
      let target = captures.targets[index]
      let place = InterfacePlace(target.node, target.interface)
      switch captures.states[index] {
      case .open(let mac):
        let dropped = counters[index]?.dropped ?? 0
        return ObservedInterface(place, mac: mac, coverage: dropped == 0 ? .captured : .dropped(dropped))
      case .down: return ObservedInterface(place, mac: nil, coverage: .down)
      case .absent: return ObservedInterface(place, mac: nil, coverage: .absent)
      case .failed(let reason): return ObservedInterface(place, mac: nil, coverage: .failed(reason))
      }
    }
  }
}
