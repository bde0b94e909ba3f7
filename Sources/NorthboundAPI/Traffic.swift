/// `POST /v1/traffic`: background load from one node to another. The answer says its number at once; it ends by itself, or
/// by `POST /v1/traffic/ID/stop`.
public struct TrafficQuery: Codable, Sendable, Equatable {
  public var from: String
  /// A node, NODE:IFACE or an address.
  public var to: String
  /// udp | tcp | icmp
  public var proto: String
  /// nil: 5202.
  public var port: UInt16?
  public var family: String?
  /// bit/s of payload; nil, where `packetsPerSecond` is too: tcp as fast as it goes, 200 Mbit/s at most, udp 1 Mbit/s, icmp
  /// 100 packets per second.
  public var rate: UInt64?
  /// Instead of `rate`.
  public var packetsPerSecond: UInt32?
  /// Bytes of a datagram.
  public var payload: UInt32?
  public var dscp: UInt8?
  /// nil: until it is stopped, an hour at most.
  public var durationMs: Int64?
  public init(
    from: String, to: String, proto: String = "udp", port: UInt16? = nil, family: String? = nil, rate: UInt64? = nil,
    packetsPerSecond: UInt32? = nil, payload: UInt32? = nil, dscp: UInt8? = nil, durationMs: Int64? = nil
  ) {
    self.from = from
    self.to = to
    self.proto = proto
    self.port = port
    self.family = family
    self.rate = rate
    self.packetsPerSecond = packetsPerSecond
    self.payload = payload
    self.dscp = dscp
    self.durationMs = durationMs
  }
}

/// One entry of `GET /v1/traffic`, and the answer to its start and its stop. What ended is kept for a while.
public struct TrafficState: Codable, Sendable, Equatable {
  public var id: UInt64
  public var query: TrafficQuery
  public var running: Bool
  /// While it runs: so far, renewed each second, without intervals; nil before that.
  public var result: TrafficResult?
  /// Why it could not run.
  public var error: String?
  public init(
    id: UInt64, query: TrafficQuery, running: Bool, result: TrafficResult? = nil, error: String? = nil
  ) {
    self.id = id
    self.query = query
    self.running = running
    self.result = result
    self.error = error
  }
}

public struct TrafficResult: Codable, Sendable, Equatable {
  /// Something arrived.
  public var reachable: Bool
  public var packetsSent: UInt64
  public var packetsReceived: UInt64
  /// Sent and never received.
  public var lost: UInt64
  public var duplicates: UInt64
  public var reordered: UInt64
  /// Payload received.
  public var bytes: UInt64
  public var mbit: Double
  public var seconds: Double
  /// One way, ms; of icmp there and back.
  public var delay: DelaySummary?
  /// Longest first, at most 100.
  public var outages: [TrafficOutage]
  /// Of 100 ms, the last ten minutes.
  public var intervals: [RateInterval]
  /// Milliseconds since 1970.
  public var startedAt: Double
  public init(
    reachable: Bool, packetsSent: UInt64, packetsReceived: UInt64, lost: UInt64, duplicates: UInt64,
    reordered: UInt64, bytes: UInt64, mbit: Double, seconds: Double, delay: DelaySummary?, outages: [TrafficOutage],
    intervals: [RateInterval], startedAt: Double
  ) {
    self.reachable = reachable
    self.packetsSent = packetsSent
    self.packetsReceived = packetsReceived
    self.lost = lost
    self.duplicates = duplicates
    self.reordered = reordered
    self.bytes = bytes
    self.mbit = mbit
    self.seconds = seconds
    self.delay = delay
    self.outages = outages
    self.intervals = intervals
    self.startedAt = startedAt
  }
}

/// Datagrams that were lost one after the other.
public struct TrafficOutage: Codable, Sendable, Equatable {
  /// When the last one before it was sent, milliseconds since 1970.
  public var startedAt: Double
  /// Until the first one after it was sent.
  public var ms: Double
  public var lost: UInt64
  public init(startedAt: Double, ms: Double, lost: UInt64) {
    self.startedAt = startedAt
    self.ms = ms
    self.lost = lost
  }
}

/// `POST /v1/flows`: what crosses the lab, from captures on every interface for a time. Nothing is sent.
public struct FlowsQuery: Codable, Sendable, Equatable {
  public var durationMs: Int64
  /// A pcap-filter expression.
  public var filter: String?
  public init(durationMs: Int64, filter: String? = nil) {
    self.durationMs = durationMs
    self.filter = filter
  }
}

public struct LiveFlows: Codable, Sendable, Equatable {
  /// Most bytes first.
  public var flows: [LiveFlow]
  public var seconds: Double
  public var captured: UInt64
  /// Packets that the capture rings lost: with any, a path may lack a hop.
  public var dropped: UInt64
  public var flowsOverLimit: UInt64
  /// Packets that belong to no flow.
  public var notOurs: UInt64
  public init(
    flows: [LiveFlow], seconds: Double, captured: UInt64, dropped: UInt64, flowsOverLimit: UInt64, notOurs: UInt64
  ) {
    self.flows = flows
    self.seconds = seconds
    self.captured = captured
    self.dropped = dropped
    self.flowsOverLimit = flowsOverLimit
    self.notOurs = notOurs
  }
}

public struct LiveFlow: Codable, Sendable, Equatable {
  /// tcp | udp | icmp | a protocol number
  public var proto: String
  /// The side that spoke first: node where known, address, and port.
  public var client: FlowEnd
  public var server: FlowEnd
  public var forward: TracedPath
  public var `return`: TracedPath
  /// nil: only one direction was seen, or undecided.
  public var symmetric: Bool?
  public var undecided: String?
  public var forwardBytes: UInt64
  public var returnBytes: UInt64
  public init(
    proto: String, client: FlowEnd, server: FlowEnd, forward: TracedPath, return: TracedPath, symmetric: Bool?,
    undecided: String?, forwardBytes: UInt64, returnBytes: UInt64
  ) {
    self.proto = proto
    self.client = client
    self.server = server
    self.forward = forward
    self.return = `return`
    self.symmetric = symmetric
    self.undecided = undecided
    self.forwardBytes = forwardBytes
    self.returnBytes = returnBytes
  }
}

public struct FlowEnd: Codable, Sendable, Equatable {
  /// nil: no node of the lab has the address.
  public var node: String?
  public var address: String
  public var port: UInt16?
  public init(node: String?, address: String, port: UInt16?) {
    self.node = node
    self.address = address
    self.port = port
  }
}
