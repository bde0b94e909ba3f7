import Capture
import CLinux
import ControlProtocol
import Glibc
import NetTypes
import PathProof

/// A request that makes no sense, in words for its user.
struct TraceRefusal: Error {
  var reason: String
}

/// A trace request, checked, with what makes its packets recognisable.
struct TracePlan {
  var kind: TracedFlow.Kind
  var from: String
  var to: String?
  /// Paths of the network namespaces.
  var fromNamespace: String
  var toNamespace: String?
  var source: IPAddress?
  var destination: IPAddress
  /// 0 for ICMP.
  var port: UInt16
  var count: Int
  var timeoutMilliseconds: UInt64
  /// The first twelve bytes of every nonce; the probe's number follows.
  var key: [UInt8]
  /// Where to answer, if not at the destination.
  var responder: Endpoint?
  /// Initial sequence number of the first connection; the others follow at `RecordMatcher.window`.
  var firstSequence: UInt32

  /// How far apart the initial sequence numbers of a trace's connections stand.
  static let sequenceStride: UInt32 = 1 << 18
  static let mostProbes = 1000

  init(_ request: NLTraceRequest) throws(TraceRefusal) {
    switch request.protocol {
    case .icmp: kind = .icmp
    case .tcp: kind = .tcp
    case .udp: kind = .udp
    case .UNRECOGNIZED(let number): throw TraceRefusal(reason: "protocol \(number) is not known")
    }
    guard let address = IPAddress(message: request.destination) else {
      throw TraceRefusal(reason: "the destination is no address")
    }
    destination = address
    if !request.source.isEmpty {
      guard let address = IPAddress(message: request.source), address.family == destination.family else {
        throw TraceRefusal(reason: "the source is no address of the destination's family")
      }
      source = address
    }
    guard !destination.isMulticast, !destination.isUnspecified, !destination.isLinkLocal else {
      throw TraceRefusal(reason: "\(destination) names no single node of the lab")
    }
    guard !destination.isLoopback else {
      throw TraceRefusal(reason: "\(destination) is a loopback address: it never leaves a node, there is no path")
    }
    guard request.port <= UInt32(UInt16.max) else { throw TraceRefusal(reason: "port \(request.port) is too large") }
    let defaults: (port: UInt32, count: UInt32, timeout: UInt32) =
      switch kind {
      case .icmp: (0, 3, 700)  // decided within 1 s, captures and proof included
      case .udp: (33434, 3, 700)  // where traceroute begins
      case .tcp: (80, 1, 3100)  // three SYNs leave within 3 s
      }
    port = kind == .icmp ? 0 : UInt16(request.port == 0 ? defaults.port : request.port)
    count = min(Int(request.count == 0 ? defaults.count : request.count), Self.mostProbes)
    timeoutMilliseconds = UInt64(request.timeoutMs == 0 ? defaults.timeout : request.timeoutMs)
    from = request.from
    to = request.to.isEmpty ? nil : request.to
    let pids = Dictionary(request.nodes.map { ($0.name, $0.pid) }, uniquingKeysWith: { first, _ in first })
    guard let pid = pids[request.from] else { throw TraceRefusal(reason: "node \(request.from) is not in the request") }
    fromNamespace = Self.namespace(pid)
    toNamespace = to.flatMap { pids[$0] }.map(Self.namespace)
    key = (0..<12).map { _ in UInt8.random(in: 0...255) }
    firstSequence = UInt32.random(in: 0...UInt32.max) | 1  // odd with an even stride: never 0, which means "choose"
  }

  /// The same flow again, answered where NAT leads it.
  func turned(to reached: Proof.Reached, _ request: NLTraceRequest) throws(TraceRefusal) -> TracePlan {
    var plan = try TracePlan(request)
    plan.to = reached.node
    plan.toNamespace = request.nodes.first { $0.name == reached.node }.map { Self.namespace($0.pid) }
    plan.responder = reached.destination
    return plan
  }

  static func namespace(_ pid: Int32) -> String { "/proc/\(pid)/ns/net" }

  /// The nonce of one probe.
  func nonce(_ index: Int) -> [UInt8] { key + withUnsafeBytes(of: UInt32(index).bigEndian) { Array($0) } }

  func sequence(_ index: Int) -> UInt32 { firstSequence &+ UInt32(index) &* Self.sequenceStride }

  // MARK: Filter

  /// What the captures keep.
  /// - Parameter foreignService: UDP answers will not carry our nonce.
  func filter(foreignService: Bool) -> FlowFilter {
    let key = self.key[0..<4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let family = destination.family
    switch kind {
    // Both have headers of eight bytes.
    case .icmp: return FlowFilter(family, .icmp, words: [.init(offset: 8, base: key)])
    case .udp: return FlowFilter(family, .udp, words: foreignService ? [] : [.init(offset: 8, base: key)])
    case .tcp:
      let span = UInt32(count) * Self.sequenceStride
      return FlowFilter(family, .tcp, words: [4, 8].map { .init(offset: $0, base: firstSequence, span: span) })
    }
  }
}
