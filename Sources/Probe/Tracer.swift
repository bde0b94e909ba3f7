// One trace, from request to reply, on the thread that calls it.
//
//   plan ─► responder in the target ─► captures open ─► exchange ─► settle ─► counters ─► PathProof ─► pcapng ─► reply
//
// The tracer waits for the exchange's sockets and empties the captures every few ms; nothing here enters a namespace itself. Several
// traces may run at once, each on a thread of its own: they share nothing but responders, and random nonces and sequence
// numbers keep their packets apart.
import Capture
import CLinux
public import ControlProtocol
import EventLoop
import Glibc
import NetTypes
import PathProof

public struct Tracer {
  private let request: NLTraceRequest
  private let plan: TracePlan
  private var observations: [Observation] = []
  private var wireLengths: [Int] = []
  private let captures: FlowCapture
  private let filter: FlowFilter
  private let counters: CounterSnapshots

  /// Carries out a request. The reply is handed over as soon as it is known; closing captures takes a little longer.
  /// A reply with `error` set says that there was no trace at all.
  public static func run(_ request: NLTraceRequest, _ reply: (NLTraceReply) -> Void) {
    do {
      let plan = try TracePlan(request)
      let isElsewhere = try attempt(request, plan) { result, reached in
        let elsewhere = result.reachable ? nil : translated(reached, plan)
        if elsewhere == nil { reply(result) }
        return elsewhere
      }
      guard let there = isElsewhere else { return }
      // NAT leads to a node and port where nobody was to answer.
      _ = try attempt(request, try plan.turned(to: there, request)) { result, _ in
        reply(result)
        return nil
      }
    } catch {
      var failure = NLTraceReply()
      failure.error = (error as? TraceRefusal)?.reason ?? "\(error)"
      reply(failure)
    }
  }

  /// Where a translated flow ends, asked by one probe; nil when it ends where it was sent to, or nowhere.
  static func translatedEnd(_ request: NLTraceRequest) throws -> Proof.Reached? {
    var request = request
    (request.count, request.pcap) = (1, "")
    let plan = try TracePlan(request)
    return try attempt(request, plan) { _, reached in translated(reached, plan) }
  }

  private static func attempt(
    _ request: NLTraceRequest, _ plan: TracePlan, _ use: (NLTraceReply, Proof.Reached?) -> Proof.Reached?
  ) throws -> Proof.Reached? {
    let responder = try openResponder(plan)
    let foreignService = plan.kind == .udp && responder == nil
    var tracer = Tracer(request, plan, foreignService)
    let (result, reached) = try tracer.trace(withEcho: responder != nil, foreignService)
    withExtendedLifetime(responder) {}
    return withExtendedLifetime(tracer) { use(result, reached) }
  }

  private static func translated(_ reached: Proof.Reached?, _ plan: TracePlan) -> Proof.Reached? {
    guard plan.kind != .icmp, let reached, reached.destination != Endpoint(plan.destination, plan.port) else {
      return nil
    }
    return reached
  }

  private static func openResponder(_ plan: TracePlan) throws(SystemError) -> ResponderPool.Lease? {
    guard plan.kind != .icmp, let namespace = plan.toNamespace else { return nil }
    let end = plan.responder ?? Endpoint(plan.destination, plan.port)
    do {
      return try ResponderPool.shared.open(plan.kind, namespace, end.address, end.port ?? plan.port)
    } catch  where error.code == EADDRNOTAVAIL || error.code == ENOENT {
      return nil  // not an address of that node after all, or it does not run
    }
  }

  private init(_ request: NLTraceRequest, _ plan: TracePlan, _ foreignService: Bool) {
    self.request = request
    self.plan = plan
    let switches = Set(request.nodes.filter { $0.kind == "switch" }.map(\.name))
    let targets = request.points.filter { !switches.contains($0.node) }.map {
      CaptureTarget(
        node: $0.node, interface: $0.interface, namespace: TracePlan.namespace($0.pid), description: $0.description_p)
    }
    filter = plan.filter(foreignService: foreignService)
    let family = plan.destination.family
    let snapshots = CounterSnapshots()
    counters = snapshots
    captures = FlowCapture(targets, filter, snapLength: Self.snapLength) { target in
      ErrorLimits.lift(target.namespace, family)
      snapshots.take(target.namespace)
    }
  }

  /// Whole probes, and of larger packets all headers and what ICMP errors quote.
  private static let snapLength = 512

  // MARK: Traffic

  private mutating func trace(
    withEcho: Bool, _ foreignService: Bool
  ) throws -> (NLTraceReply, Proof.Reached?) {
    let start = Self.realtime()
    let exchange = try makeExchange(withEcho, foreignService)
    converse(exchange)
    settle(exchange)
    let graph = LabGraph(request, interfaces: observedInterfaces())
    let flow = TracedFlow(
      kind: plan.kind, from: plan.from, to: plan.to, probes: exchange.probes, returnByTuple: foreignService)
    let namespaces = Dictionary(
      request.nodes.map { ($0.name, TracePlan.namespace($0.pid)) }, uniquingKeysWith: { first, _ in first })
    let proof = Prover.prove(flow, observations, graph).explained { drop in
      namespaces[drop.node].map { counters.evidence(drop, $0) } ?? []
    }
    var reply = makeReply(proof, exchange)
    if !request.pcap.isEmpty {
      if let failure = try writeEvidence(proof, start) {
        // The verdict stands on the packets in memory.
        reply.notes.append("no capture file: \(failure)")
      } else {
        reply.capture = request.pcap
      }
    }
    return (reply, proof.reached)
  }

  private func makeExchange(_ withEcho: Bool, _ foreignService: Bool) throws(TraceRefusal) -> any Exchange {
    do {
      switch plan.kind {
      case .icmp: return try EchoExchange(plan)
      case .udp: return try DatagramExchange(plan, anyAnswer: foreignService)
      case .tcp: return try ConnectionExchange(plan, withEcho: withEcho)
      }
    } catch {
      // The route lookup happens when the socket is connected, before anything is sent.
      if [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, EPERM].contains(error.code) {
        return RefusedExchange(plan, error)
      }
      throw TraceRefusal(reason: "\(plan.from): \(error)")
    }
  }

  private mutating func converse(_ exchange: any Exchange) {
    var drained = EventLoop.clock()
    var pause = Self.shortestPause
    while true {
      let now = EventLoop.clock()
      exchange.step(now)
      if exchange.isFinished { return }
      let deadline = exchange.lastStart.map { $0 + plan.timeoutMilliseconds * 1_000_000 } ?? .max
      if now >= deadline { return }
      wait(exchange.descriptors, nanoseconds: min(deadline - now, Self.shortestPause))
      if EventLoop.clock() >= drained + pause {
        // Where nothing passes, less often: 400 captures take a ms or two.
        pause = captures.drain { take($0) } > 0 ? Self.shortestPause : min(2 * pause, Self.longestPause)
        drained = EventLoop.clock()
      }
    }
  }

  /// Between two readings of the captures, ns: what the probes of `Pacing` make in that time fits into their buffers.
  private static let shortestPause: UInt64 = 5_000_000
  private static let longestPause: UInt64 = 40_000_000

  private func wait(_ descriptors: [pollfd], nanoseconds: UInt64) {
    var entries = descriptors
    var time = timespec(tv_sec: 0, tv_nsec: Int(min(nanoseconds, 999_999_999)))
    ppoll(&entries, nfds_t(entries.count), &time, nil)
  }

  /// Waits for the packets that are still on their way: until none has come for one and a half round trips, at least
  /// 3 ms; links with delay make that long, other people's traffic may not make it endless.
  private mutating func settle(_ exchange: any Exchange) {
    let quiet = max(3_000_000, exchange.roundTrip * 3 / 2)
    let limit = EventLoop.clock() + max(50_000_000, 4 * quiet)
    var last = EventLoop.clock()
    while case let now = EventLoop.clock(), now < min(last + quiet, limit) {
      wait([], nanoseconds: min(min(last + quiet, limit) - now, max(quiet / 3, 1_000_000)))
      if captures.drain({ take($0) }) > 0 { last = EventLoop.clock() }
    }
    captures.drain { take($0) }
  }

  private mutating func take(_ frame: CapturedFrame) {
    guard
      let observation = Observation(
        interface: frame.target, time: frame.time, frame: Array(frame.bytes), wireLength: frame.wireLength)
    else { return }
    observations.append(observation)
    wireLengths.append(frame.wireLength)
  }

  // MARK: Result

  /// The captured interfaces, by the index of their target, and those that the lab has besides and nobody captured.
  private func observedInterfaces() -> [ObservedInterface] {
    let counters = captures.statistics
    let captured = captures.targets.indices.map { index in
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
    let known = Set(captured.map(\.place))
    let switches = Set(request.nodes.filter { $0.kind == "switch" }.map(\.name))
    let ends = request.adjacencies.flatMap {
      [InterfacePlace($0.nodeA, $0.interfaceA), InterfacePlace($0.nodeB, $0.interfaceB)]
    }
    return captured
      + ends.filter { !known.contains($0) && !switches.contains($0.node) }
      .map { ObservedInterface($0, mac: nil, coverage: .absent) }
  }

  private func makeReply(_ proof: Proof, _ exchange: any Exchange) -> NLTraceReply {
    var reply = NLTraceReply()
    reply.reachable = proof.reachable
    reply.forward = NLPathReport(proof.forward)
    reply.return = NLPathReport(proof.back)
    reply.symmetric = proof.symmetric.message
    reply.complete = proof.isComplete
    reply.incompleteBecause = proof.incomplete.joined(separator: "; ")
    reply.undecidedBecause = proof.undecidedBecause ?? ""
    var seen: Set<String> = []
    reply.notes = (proof.loop.map { [$0.description] } ?? []) + proof.strays
    reply.icmpErrors = (proof.errors + exchange.refusals).filter { seen.insert($0).inserted }
    let source = exchange.probes.first?.source?.address ?? plan.source
    if let source { reply.source = source.messageBytes }
    reply.destination = plan.destination.messageBytes
    reply.port = UInt32(plan.port)
    return reply
  }

  /// - Returns: why there is no file although the folder takes one: the disk is full, or broken.
  private func writeEvidence(_ proof: Proof, _ start: UInt64) throws -> SystemError? {
    let isDiskFault = { (code: Int32) in [ENOSPC, EDQUOT, EIO].contains(code) }
    do {
      let file = try FileDescriptor.open(request.pcap, O_WRONLY | O_CREAT | O_TRUNC)
      try write(proof, start, file.rawValue)
      return nil
    } catch let error as SystemError where isDiskFault(error.code) {
      return error
    } catch let error as CaptureFileError {
      let failure = SystemError("write", error.code, request.pcap)
      guard isDiskFault(error.code) else { throw failure }
      removeRest()
      return failure
    }
  }

  /// Half a file is no evidence.
  private func removeRest() {
    var state = stat()
    if lstat(request.pcap, &state) == 0, state.st_mode & S_IFMT == S_IFREG { unlink(request.pcap) }
  }

  private func write(_ proof: Proof, _ start: UInt64, _ file: Int32) throws(CaptureFileError) {
    let opened = captures.targets.indices.filter { captures.states[$0] != .down && captures.states[$0] != .absent }
    var blocks = [Int](repeating: -1, count: captures.targets.count)
    for (block, target) in opened.enumerated() { blocks[target] = block }
    let text = filter.text
    var writer = PcapngWriter(
      file,
      PcapngSection(application: "netloom-probe", comment: proof.summary(from: plan.from, to: "\(plan.destination)")),
      opened.map { index in
        let target = captures.targets[index]
        return PcapngWriter.Interface(
          name: target.name, description: target.description, filter: text, mac: captures.states[index].mac,
          snapLength: Self.snapLength)
      })
    for index in observations.indices.sorted(by: { (observations[$0].time, $0) < (observations[$1].time, $1) }) {
      let one = observations[index]
      one.frame.withUnsafeBytes { bytes in
        writer.append(
          interface: blocks[one.interface], time: one.time, wireLength: wireLengths[index], bytes,
          direction: captures.states[one.interface].direction(one.packet))
      }
    }
    let end = Self.realtime()
    let counters = captures.statistics
    for (block, target) in opened.enumerated() {
      guard let counter = counters[target] else { continue }
      writer.append(statistics: counter, interface: block, start: start, end: end)
    }
    try writer.flush()
  }

  static func realtime() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

extension Proof {
  /// The verdict in one line, for the capture file.
  func summary(from: String, to: String) -> String {
    var text = "netloom: trace \(from) to \(to): "
    if let reason = undecidedBecause {
      text += "undecided (\(reason))"
    } else if reachable {
      text += "reachable, \(symmetric == .yes ? "symmetric" : symmetric == .no ? "asymmetric" : "no symmetry")"
    } else {
      text += "unreachable"
      if let loop { text += ", \(loop)" }
    }
    text += "; forward \(forward.path.joined(separator: " > "))"
    if !back.path.isEmpty { text += "; return \(back.path.joined(separator: " > "))" }
    return errors.isEmpty ? text : text + "; " + errors.joined(separator: "; ")
  }
}

extension CaptureState {
  var mac: MACAddress? { if case .open(let mac) = self { mac } else { nil } }

  func direction(_ packet: Packet) -> Direction {
    guard let mac else { return .foreign }
    return Direction(destination: packet.destinationMAC, source: packet.sourceMAC, interface: mac)
  }
}

/// A flow whose first packet the sender's own kernel refused: no route, or a filter.
private final class RefusedExchange: Exchange {
  let probes: [FlowProbe]
  let refusals: [String]
  let descriptors: [pollfd] = []
  let isFinished = true
  let roundTrip: UInt64 = 0
  let lastStart: UInt64? = 0

  init(_ plan: TracePlan, _ refusal: SystemError) {
    refusals = ["\(plan.from): \(refusal.text)"]
    probes = [
      FlowProbe(
        identity: .nonce(plan.nonce(0)), source: nil,
        destination: Endpoint(plan.destination, plan.port == 0 ? nil : plan.port), sent: false, answered: false,
        refusal: .init(refusal))
    ]
  }

  func step(_ now: UInt64) {}
}
