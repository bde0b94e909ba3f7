import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof

/// UDP probes, each from a socket and port of its own, so that each hears its own ICMP error and ECMP may spread them.
final class DatagramExchange: Exchange {
  private let plan: TracePlan
  private let sockets: [Int32]
  private var states: [ProbeState]
  /// The service is the user's: whatever it sends is an answer.
  private let anyAnswer: Bool
  private(set) var refusals: [String] = []
  private(set) var roundTrip: UInt64 = 0
  private var next = 0
  private var pacing = Pacing()

  init(_ plan: TracePlan, anyAnswer: Bool) throws(SystemError) {
    self.plan = plan
    self.anyAnswer = anyAnswer
    let opened = try ProbeSocket.inside(plan.fromNamespace) { () throws(SystemError) -> [(Int32, Endpoint)] in
      var opened: [(Int32, Endpoint)] = []
      for _ in 0..<plan.count {
        let file = try ProbeSocket.make(plan.destination.family, SOCK_DGRAM)
        // Without it a connected socket hears only of closed ports (udp(7)).
        if plan.destination.family == .ipv4 {
          try ProbeSocket.set(file.rawValue, Int32(IPPROTO_IP), IP_RECVERR, 1)
        } else {
          try ProbeSocket.set(file.rawValue, Int32(IPPROTO_IPV6), IPV6_RECVERR, 1)
        }
        if let source = plan.source { try ProbeSocket.bind(file.rawValue, source, 0) }
        try ProbeSocket.connect(file.rawValue, plan.destination, plan.port)
        let name = try ProbeSocket.name(file.rawValue)
        opened.append((file.release(), Endpoint(name.address, name.port)))
      }
      return opened
    }
    sockets = opened.map(\.0)
    states = opened.enumerated().map { index, entry in
      ProbeState(
        .nonce(plan.nonce(index)), source: entry.1, destination: Endpoint(plan.destination, plan.port))
    }
  }

  deinit { for socket in sockets { _ = close(socket) } }

  var descriptors: [pollfd] {
    (0..<next).filter { !states[$0].done }.map { pollfd(fd: sockets[$0], events: Int16(POLLIN), revents: 0) }
  }
  var isFinished: Bool { next == states.count && states.allSatisfy(\.done) }
  var probes: [FlowProbe] { states.map(\.probe) }
  var lastStart: UInt64? { states.lastStart(next) }

  func step(_ now: UInt64) {
    for index in 0..<next where !states[index].done { receive(index, now) }
    for _ in 0..<pacing.allowance(states, started: next, now) {
      send(next, now)
      next += 1
    }
  }

  private func send(_ index: Int, _ now: UInt64) {
    states[index].sentAt = now
    do {
      try ProbeSocket.send(sockets[index], plan.nonce(index) + [Way.forward.rawValue])
      states[index].probe.sent = true
    } catch {
      states[index].done = true
      states[index].probe.refusal = .init(error)
      refusals.append("\(plan.from): \(error.text)")
    }
  }

  private func receive(_ index: Int, _ now: UInt64) {
    do {
      guard let bytes = try ProbeSocket.receive(sockets[index]) else { return }
      guard anyAnswer || bytes == plan.nonce(index) + [Way.back.rawValue] else { return }
      roundTrip = max(roundTrip, states[index].answer(now))
    } catch {
      states[index].done = true  // an ICMP error came; the captures say whose
    }
  }
}
