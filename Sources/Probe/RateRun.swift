// One rate run, from request to reply, on the thread that calls it.
//
//   plan ─► receiver listens ─► captures open ─► sender ══════════════════════════════► receiver
//                                   │            (a thread)   every hop's interfaces   (a thread)
//                                   └─ emptied every few ms ─► records ─► RateJudge ─► reply
//
// The run ends when its time is over at the receiver, when the sender gave up, or when the flag is raised: then what is
// under way is dropped, and so is the reply. Several runs may go on at once, also beside traces; they differ by key and
// initial sequence number, and two on one port of one address exclude each other.
import Capture
import CLinux
public import ControlProtocol
import EventLoop
import Glibc
import NetTypes
import PathProof

public struct RateRun {
  private let request: NLRateRequest
  private let plan: RatePlan
  private let stop: StopFlag
  private let ends: Ends
  private let captures: FlowCapture
  private let filter: FlowFilter
  private var recorder: RateRecorder
  private var evidence: RateEvidence?
  /// Read when the recorder was full: what the captures lose after that would not have been kept, and is not missed.
  private var countersWhenFull: [CaptureStatistics?]?

  /// Carries out a request. A reply with `error` set says that nothing was sent, or that nobody was to be sent to.
  /// - Parameter stop: ends it early.
  public static func run(_ request: NLRateRequest, stop: StopFlag = StopFlag(), _ reply: (NLRateReply) -> Void) {
    do {
      let plan = try RatePlan(request)
      let result = try attempt(request, plan, stop)
      guard !result.reachable, !stop.isRaised, let there = try Tracer.translatedEnd(plan.traced(request)) else {
        return reply(result)
      }
      reply(try attempt(request, try plan.turned(to: there, request), stop))
    } catch {
      var failure = NLRateReply()
      failure.error = (error as? TraceRefusal)?.reason ?? "\(error)"
      reply(failure)
    }
  }

  private static func attempt(
    _ request: NLRateRequest, _ plan: RatePlan, _ stop: StopFlag
  ) throws -> NLRateReply {
    var run = try RateRun(request, plan, stop)
    return try run.carryOut()
  }

  /// Both programs.
  private enum Ends {
    case stream(StreamSender, StreamReceiver)
    case datagrams(DatagramSender, DatagramReceiver)

    var sender: any RateEnd {
      switch self {
      case .stream(let sender, _): sender
      case .datagrams(let sender, _): sender
      }
    }
    var receiver: any RateEnd {
      switch self {
      case .stream(_, let receiver): receiver
      case .datagrams(_, let receiver): receiver
      }
    }
    var sent: SenderAccount {
      switch self {
      case .stream(let sender, _): sender.account
      case .datagrams(let sender, _): sender.account
      }
    }
    var received: ReceiverAccount {
      switch self {
      case .stream(_, let receiver): receiver.account
      case .datagrams(_, let receiver): receiver.account
      }
    }
  }

  /// Bytes kept of each packet: link, network and transport headers with options, and what begins a datagram of ours.
  private static let snapLength = 128

  private init(_ request: NLRateRequest, _ plan: RatePlan, _ stop: StopFlag) throws(TraceRefusal) {
    self.request = request
    self.stop = stop
    self.plan = plan
    ends = try Self.openEnds(plan)
    let switches = Set(request.flow.nodes.filter { $0.kind == "switch" }.map(\.name))
    let targets = request.flow.points.filter { !switches.contains($0.node) }.map {
      CaptureTarget(
        node: $0.node, interface: $0.interface, namespace: TracePlan.namespace($0.pid), description: $0.description_p)
    }
    let family = plan.flow.destination.family
    filter =
      plan.flow.kind == .tcp
      ? FlowFilter(
        family, .tcp, words: [.init(offset: 4, base: plan.flow.firstSequence, span: RateLimits.stream + (1 << 28))])
      : Self.datagramFilter(plan)
    captures = FlowCapture(targets, filter, snapLength: Self.snapLength)
    recorder = RateRecorder(plan, captures)
    if !request.flow.pcap.isEmpty { evidence = RateEvidence(Tracer.realtime()) }
  }

  private static func datagramFilter(_ plan: RatePlan) -> FlowFilter {
    var filter = plan.flow.filter(foreignService: false)
    let mask = plan.sample.mask
    let header = 8  // UDP's
    if mask != 0 { filter.sample = .init(offset: header + RateDatagram.dieOffset, mask: mask) }
    return filter
  }

  private static func openEnds(_ plan: RatePlan) throws(TraceRefusal) -> Ends {
    do throws(SystemError) {
      if let rate = plan.rate, plan.flow.kind == .udp {
        let receiver = try DatagramReceiver(plan, plan.sample)
        return .datagrams(try DatagramSender(plan, rate: rate, plan.sample), receiver)
      }
      let receiver = try StreamReceiver(plan)
      return .stream(try StreamSender(plan), receiver)
    } catch {
      switch error.code {
      case EADDRINUSE:
        throw TraceRefusal(
          reason: "something else listens on \(plan.to) port \(plan.flow.port): choose another port")
      case EADDRNOTAVAIL:
        throw TraceRefusal(
          reason: "\(plan.flow.destination) is no address of \(plan.to), or the source none of \(plan.flow.from)")
      default: throw TraceRefusal(reason: "\(error)")
      }
    }
  }

  // MARK: Traffic

  private mutating func carryOut() throws -> NLRateReply {
    let halt = StopFlag()
    let (sender, receiver) = (ends.sender, ends.receiver)
    guard let listening = Worker.start({ receiver.run(halt) }) else { throw SystemError("pthread_create", EAGAIN) }
    guard let sending = Worker.start({ sender.run(halt) }) else {
      halt.raise()
      listening.join()
      throw SystemError("pthread_create", EAGAIN)
    }
    watch()
    halt.raise()
    sending.join()
    listening.join()
    settle()
    if stop.isRaised { throw TraceRefusal(reason: "the run was ended early") }
    return try report()
  }

  /// Between two readings of the captures, ns: a Gbit/s fits into their buffers meanwhile.
  private static let pause: UInt64 = 8_000_000
  /// A receiver that gets nothing more is waited for this long.
  private static let patience: UInt64 = 1_500_000_000
  private static let quiet: UInt64 = 200_000_000

  /// Empties the captures until both ends are done.
  private mutating func watch() {
    let limit = EventLoop.clock() + plan.flow.timeoutMilliseconds * 1_000_000 + plan.duration + Self.patience
    var silence = Silence()
    while !stop.isRaised, EventLoop.clock() < limit, !isOver(&silence) {
      drain()
      var time = timespec(tv_sec: 0, tv_nsec: Int(Self.pause))
      ppoll(nil, 0, &time, nil)
    }
  }

  private struct Silence {
    var begin: UInt64 = 0
    var progress: UInt64 = 0
    var since: UInt64 = 0
    var senderEnd: UInt64?
  }

  private func isOver(_ silence: inout Silence) -> Bool {
    switch ends {
    case .stream(let sender, let receiver):
      // Also where the connection breaks: the time is over with what had come.
      return receiver.isFinished || sender.isFinished
    case .datagrams(let sender, let receiver):
      let now = EventLoop.clock()
      if silence.begin == 0 { silence.begin = now }
      // A way that nothing has passed so far is closed: no use in loading it further.
      if receiver.progress == 0, now >= silence.begin + Self.patience { return true }
      guard sender.isFinished else { return false }
      let end = silence.senderEnd ?? now
      silence.senderEnd = end
      let progress = receiver.progress
      if progress != silence.progress || silence.since == 0 { (silence.progress, silence.since) = (progress, now) }
      return now >= silence.since + Self.quiet || now >= end + Self.patience
    }
  }

  private mutating func settle() {
    let limit = EventLoop.clock() + 100_000_000
    var last = EventLoop.clock()
    while case let now = EventLoop.clock(), now < min(limit, last + 20_000_000) {
      if drain() > 0 { last = now }
      var time = timespec(tv_sec: 0, tv_nsec: 4_000_000)
      ppoll(nil, 0, &time, nil)
    }
  }

  @discardableResult
  private mutating func drain() -> Int {
    if recorder.isFull { return 0 }
    let count = captures.drain { frame in
      if recorder.take(frame) { evidence?.keep(frame) }
    }
    if recorder.isFull { countersWhenFull = captures.statistics }
    return count
  }

  /// Of what was kept.
  private var counters: [CaptureStatistics?] { countersWhenFull ?? captures.statistics }

  // MARK: Result

  private func observations(_ sent: SenderAccount, _ received: ReceiverAccount) -> RateObservations {
    guard plan.flow.kind == .tcp else {
      return RateObservations(
        from: plan.flow.from, to: plan.to, isStream: false,
        unitBytes: sent.payload * (Int(plan.sample.mask) + 1),
        sent: sent.sent.filter { !recorder.isFull || $0.first <= recorder.lastUnit }, places: recorder.places,
        received: received.received.filter { !recorder.isFull || $0.first <= recorder.lastUnit })
    }
    let made = recorder.made
    var observations = RateObservations(
      from: plan.flow.from, to: plan.to, isStream: true, unitBytes: Int(RateRecorder.unit), sent: made,
      places: recorder.places, received: nil)
    observations.sentResolution = RateRecorder.stampResolution
    guard let counters = sent.counters else { return observations }
    let unit = UInt64(RateRecorder.unit)
    observations.repeatedCopies = Int(counters.retransmits * counters.segmentSize / unit)
    guard !recorder.isFull else { return observations }
    let left = made.reduce(UInt64(0)) { $0 + UInt64($1.count) }
    let copies = counters.bytesSent / unit
    observations.unsentCopies = copies > left ? Int(copies - left) : 0
    observations.spuriousCopies = Int(counters.duplicates * counters.segmentSize / unit)
    return observations
  }

  private func report() throws -> NLRateReply {
    let (sent, received) = (ends.sent, ends.received)
    var reply = NLRateReply()
    reply.reachable = received.bytes > 0
    reply.bytes = received.bytes
    reply.seconds = Double(received.last - received.first) / 1e9
    reply.packetsSent = sent.packets
    reply.packetsReceived = received.packets
    reply.retransmits = sent.counters?.retransmits ?? 0
    let gaps = coverageGaps()
    reply.complete = gaps.isEmpty
    guard reply.reachable else {
      reply.because = sent.refusal ?? "nothing arrived"
      return reply
    }
    let verdict = RateJudge.judge(observations(sent, received))
    reply.limitedBy = NLRateReply.LimitedBy(verdict.limit)
    reply.because = verdict.because
    if recorder.isFull { reply.because += "; judged by the beginning, which is all that was kept" }
    reply.place = verdict.place?.description ?? ""
    reply.setDelays(verdict.arrivals)
    reply.setIntervals(received, verdict, perPacket: perPacket(sent))
    decide(&reply, gaps)
    try writeEvidence(&reply)
    return reply
  }

  /// Units of a packet.
  private func perPacket(_ sent: SenderAccount) -> Double {
    guard plan.flow.kind == .tcp else { return 1 / Double(plan.sample.mask + 1) }
    guard let size = sent.counters?.segmentSize else { return 1 }
    return max(1, Double(size) / Double(RateRecorder.unit))
  }

  /// What captures missed counts where it could change the verdict. Waits are measured on the packets that were seen; a
  /// stream whose own counters know of no loss is not policed, whatever the captures missed; datagrams are judged by where
  /// they were seen last, which stands as long as few are missing. An interface that was not captured at all could hide
  /// anything.
  private func decide(_ reply: inout NLRateReply, _ gaps: [String]) {
    guard !gaps.isEmpty else { return }
    let isThin = counters.contains { ($0?.dropped ?? 0) * 20 > ($0?.received ?? 0) }
    let isBlind = captures.states.contains { if case .failed = $0 { true } else { false } }
    guard isBlind || isThin && reply.limitedBy == .policing else {
      reply.complete = true
      reply.because += "; \(gaps.joined(separator: "; ")), which does not change it"
      return
    }
    reply.limitedBy = .unknown
    reply.undecidedBecause = gaps.joined(separator: "; ")
  }

  private func coverageGaps() -> [String] {
    let counters = counters
    return captures.targets.indices.compactMap { index in
      let name = captures.targets[index].name
      if case .failed(let reason) = captures.states[index] { return "\(name) could not be captured: \(reason)" }
      guard let dropped = counters[index]?.dropped, dropped > 0 else { return nil }
      return "\(dropped) packets on \(name) were lost by the capture"
    }
  }

  private func writeEvidence(_ reply: inout NLRateReply) throws {
    guard let evidence else { return }
    let summary =
      "netloom: rate \(plan.flow.from) to \(plan.to): \(reply.bytes) bytes in \(reply.seconds) s, \(reply.limitedBy)"
      + (reply.place.isEmpty ? "" : " at \(reply.place)") + ": \(reply.because)"
    do {
      try evidence.write(request.flow.pcap, captures, filter, comment: summary, snapLength: Self.snapLength)
      reply.capture = request.flow.pcap
    } catch let error as CaptureFileError where [ENOSPC, EDQUOT, EIO].contains(error.code) {
      unlink(request.flow.pcap)
      reply.because += "; no capture file: \(String(cString: strerror(error.code)))"
    }
  }
}
