/// `POST /v1/rate`: sends from one node to another and judges from captured packets what limited it.
public struct RateQuery: Codable, Sendable, Equatable {
  public var from: String
  /// A node, NODE:IFACE or an address.
  public var to: String
  /// tcp | udp
  public var proto: String
  /// nil: 5201.
  public var port: UInt16?
  public var durationMs: Int64
  /// bit/s of payload offered; udp only.
  public var rate: UInt64?
  /// ipv4 | ipv6; nil: the one that is there.
  public var family: String?
  public var dscp: UInt8?
  /// Absolute directory for the pcapng; nil: none.
  public var directory: String?
  public init(
    from: String, to: String, proto: String, port: UInt16? = nil, durationMs: Int64, rate: UInt64? = nil,
    family: String? = nil, dscp: UInt8? = nil, directory: String? = nil
  ) {
    self.from = from
    self.to = to
    self.proto = proto
    self.port = port
    self.durationMs = durationMs
    self.rate = rate
    self.family = family
    self.dscp = dscp
    self.directory = directory
  }
}

public struct RateResult: Codable, Sendable, Equatable {
  public enum LimitedBy: String, Codable, Sendable { case shaping, policing, none }

  public var reachable: Bool
  /// Payload received / time / 10^6.
  public var mbit: Double
  public var bytes: UInt64
  public var seconds: Double
  public var packetsSent: UInt64
  public var packetsReceived: UInt64
  /// tcp
  public var retransmits: UInt64
  /// nil: not decided, see `undecided`.
  public var limitedBy: LimitedBy?
  /// The evidence in words.
  public var because: String
  /// NODE:IFACE of the queue or the policer.
  public var place: String?
  /// Of 100 ms.
  public var intervals: [RateInterval]
  /// One way, ms.
  public var delay: DelaySummary?
  public var complete: Bool
  public var undecided: String?
  public var capture: String?
  public init(
    reachable: Bool, mbit: Double, bytes: UInt64, seconds: Double, packetsSent: UInt64, packetsReceived: UInt64,
    retransmits: UInt64, limitedBy: LimitedBy?, because: String, place: String?, intervals: [RateInterval],
    delay: DelaySummary?, complete: Bool, undecided: String?, capture: String?
  ) {
    self.reachable = reachable
    self.mbit = mbit
    self.bytes = bytes
    self.seconds = seconds
    self.packetsSent = packetsSent
    self.packetsReceived = packetsReceived
    self.retransmits = retransmits
    self.limitedBy = limitedBy
    self.because = because
    self.place = place
    self.intervals = intervals
    self.delay = delay
    self.complete = complete
    self.undecided = undecided
    self.capture = capture
  }
}

public struct RateInterval: Codable, Sendable, Equatable {
  public var bytes: UInt64
  public var lost: UInt64
  public var delayMs: Double
  public init(bytes: UInt64, lost: UInt64, delayMs: Double) {
    self.bytes = bytes
    self.lost = lost
    self.delayMs = delayMs
  }
}

public struct DelaySummary: Codable, Sendable, Equatable {
  public var min: Double
  public var median: Double
  public var p99: Double
  public init(min: Double, median: Double, p99: Double) {
    self.min = min
    self.median = median
    self.p99 = p99
  }
}

/// `POST /v1/nat`: sends one flow and reads what a node made of it from that node's conntrack table.
public struct NATQuery: Codable, Sendable, Equatable {
  /// Where the translation is expected.
  public var node: String
  public var from: String
  public var to: String
  /// icmp | tcp | udp
  public var proto: String
  public var port: UInt16?
  public var family: String?
  public var directory: String?
  public init(
    node: String, from: String, to: String, proto: String, port: UInt16? = nil, family: String? = nil,
    directory: String? = nil
  ) {
    self.node = node
    self.from = from
    self.to = to
    self.proto = proto
    self.port = port
    self.family = family
    self.directory = directory
  }
}

public struct NATResult: Codable, Sendable, Equatable {
  public var reachable: Bool
  /// Addresses as they were and as they are written; nil: not translated. Texts without port.
  public var source: Rewrite?
  public var destination: Rewrite?
  /// The entry of the flow; nil: the node has none.
  public var connection: ConnectionEntry?
  public var trace: Trace
  public init(
    reachable: Bool, source: Rewrite?, destination: Rewrite?, connection: ConnectionEntry?, trace: Trace
  ) {
    self.reachable = reachable
    self.source = source
    self.destination = destination
    self.connection = connection
    self.trace = trace
  }
}
