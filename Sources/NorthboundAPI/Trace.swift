/// `POST /v1/trace`
public struct TraceQuery: Codable, Sendable, Equatable {
  /// A node.
  public var from: String
  /// A node, `NODE:IFACE` or an address.
  public var to: String
  /// icmp | tcp | udp; nil: icmp
  public var proto: String?
  public var port: UInt16?
  /// ipv4 | ipv6; nil: IPv4 where both ends have it.
  public var family: String?
  public var count: UInt32?
  /// Absolute directory for the pcapng; nil: the lab's run directory.
  public var directory: String?
  public init(
    from: String, to: String, proto: String? = nil, port: UInt16? = nil, family: String? = nil, count: UInt32? = nil,
    directory: String? = nil
  ) {
    self.from = from
    self.to = to
    self.proto = proto
    self.port = port
    self.family = family
    self.count = count
    self.directory = directory
  }
}

/// The verdict on one flow (contract section 5).
public struct Trace: Codable, Sendable, Equatable {
  public var flow: TracedFlow
  public var reachable: Bool
  /// nil: no return path to compare with, or undecided.
  public var symmetric: Bool?
  public var forward: TracedPath
  public var `return`: TracedPath
  public var divergence: Divergence?
  /// Every interface that could see the flow was captured without a drop.
  public var complete: Bool
  /// Why there is no verdict; nil: there is one. An undecided trace is never a pass.
  public var undecided: String?
  public var icmpErrors: [String]
  /// Beside the verdict: a loop by name, an answer from somebody else, a capture file that could not be written.
  public var notes: [String]
  public var capture: String?
  public init(
    flow: TracedFlow, reachable: Bool, symmetric: Bool?, forward: TracedPath, return: TracedPath,
    divergence: Divergence?, complete: Bool, undecided: String?, icmpErrors: [String], notes: [String] = [],
    capture: String?
  ) {
    self.flow = flow
    self.reachable = reachable
    self.symmetric = symmetric
    self.forward = forward
    self.return = `return`
    self.divergence = divergence
    self.complete = complete
    self.undecided = undecided
    self.icmpErrors = icmpErrors
    self.notes = notes
    self.capture = capture
  }

  /// `symmetric`, `divergence` and `capture` are written even when null, as the contract shows them.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(flow, forKey: .flow)
    try container.encode(reachable, forKey: .reachable)
    try container.encode(symmetric, forKey: .symmetric)
    try container.encode(forward, forKey: .forward)
    try container.encode(`return`, forKey: .return)
    try container.encode(divergence, forKey: .divergence)
    try container.encode(complete, forKey: .complete)
    try container.encodeIfPresent(undecided, forKey: .undecided)
    try container.encode(icmpErrors, forKey: .icmpErrors)
    try container.encode(notes, forKey: .notes)
    try container.encode(capture, forKey: .capture)
  }
}

public struct TracedFlow: Codable, Sendable, Equatable {
  public var from: String
  public var to: String
  public var proto: String
  public var port: UInt16?
  public var source: String?
  public var destination: String?
  public init(from: String, to: String, proto: String, port: UInt16?, source: String?, destination: String?) {
    self.from = from
    self.to = to
    self.proto = proto
    self.port = port
    self.source = source
    self.destination = destination
  }
}

public struct TracedPath: Codable, Sendable, Equatable {
  /// Node names in order; switches are not hops.
  public var path: [String]
  public var hops: [TracedHop]
  /// All paths seen, most used first; one entry or more when packets were seen.
  public var paths: [TracedAlternative]
  public var packets: UInt64
  public var lost: UInt64
  /// "NODE:IFACE" where lost packets were last seen.
  public var lastSeen: String?
  /// Where packets ended, most packets first.
  public var drops: [TracedDrop]
  public init(
    path: [String], hops: [TracedHop], paths: [TracedAlternative], packets: UInt64, lost: UInt64, lastSeen: String?,
    drops: [TracedDrop] = []
  ) {
    self.path = path
    self.hops = hops
    self.paths = paths
    self.packets = packets
    self.lost = lost
    self.lastSeen = lastSeen
    self.drops = drops
  }
}

/// Where packets of a flow ended, and why as far as it can be known.
public struct TracedDrop: Codable, Sendable, Equatable {
  /// The node that had them last.
  public var node: String
  /// Where they were last seen.
  public var interface: String
  /// They were seen leaving it and never arrived at the far end.
  public var sent: Bool
  public var packets: UInt64
  /// no-route | ttl | filter | policer | shaper | loss | mtu | rp-filter | no-listener | link-down | unknown
  public var reason: String
  /// What says so: the ICMP error, the rule's words, the counter that moved.
  public var detail: String
  public init(node: String, interface: String, sent: Bool, packets: UInt64, reason: String, detail: String) {
    self.node = node
    self.interface = interface
    self.sent = sent
    self.packets = packets
    self.reason = reason
    self.detail = detail
  }
}

public struct TracedHop: Codable, Sendable, Equatable {
  public var node: String
  public var `in`: String?
  public var out: String?
  /// Median microseconds from in to out.
  public var us: Double?
  public var nat: TracedRewrite?
  /// seq | nonce | conntrack
  public var joinedBy: String
  public init(node: String, in: String?, out: String?, us: Double?, nat: TracedRewrite?, joinedBy: String) {
    self.node = node
    self.in = `in`
    self.out = out
    self.us = us
    self.nat = nat
    self.joinedBy = joinedBy
  }

  /// `in`, `out`, `us` and `nat` are written even when null, as the contract shows them.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(node, forKey: .node)
    try container.encode(`in`, forKey: .in)
    try container.encode(out, forKey: .out)
    try container.encode(us, forKey: .us)
    try container.encode(nat, forKey: .nat)
    try container.encode(joinedBy, forKey: .joinedBy)
  }
}

public struct TracedRewrite: Codable, Sendable, Equatable {
  public var source: Rewrite?
  public var destination: Rewrite?
  public init(source: Rewrite?, destination: Rewrite?) {
    self.source = source
    self.destination = destination
  }
}

public struct Rewrite: Codable, Sendable, Equatable {
  public var from: String
  public var to: String
  public init(from: String, to: String) {
    self.from = from
    self.to = to
  }
}

public struct TracedAlternative: Codable, Sendable, Equatable {
  public var path: [String]
  public var packets: UInt64
  public init(path: [String], packets: UInt64) {
    self.path = path
    self.packets = packets
  }
}

/// Where the way back leaves the way there, and the rule that made it so.
public struct Divergence: Codable, Sendable, Equatable {
  public var node: String
  public var prefix: String
  public var because: String
  public var detail: String
  public init(node: String, prefix: String, because: String, detail: String) {
    self.node = node
    self.prefix = prefix
    self.because = because
    self.detail = detail
  }
}

/// `GET /v1/capture-points?select=NODE&select=NODE:IFACE`: what `netloom capture` hands to netloom-probe.
public struct CapturePointInfo: Codable, Sendable, Equatable {
  public var node: String
  public var interface: String
  public var ifindex: UInt32
  /// In the lab's pid namespace.
  public var pid: Int32
  public var description: String
  public init(node: String, interface: String, ifindex: UInt32, pid: Int32, description: String) {
    self.node = node
    self.interface = interface
    self.ifindex = ifindex
    self.pid = pid
    self.description = description
  }
}
