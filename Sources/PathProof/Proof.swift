/// The verdict on a flow, with what it rests on.
public struct Proof: Sendable, Equatable {
  /// A probe was answered.
  public var reachable: Bool
  public var forward: PathReport
  public var back: PathReport
  public var symmetric: Symmetry
  /// Why the captures do not show everything; empty when they do.
  public var incomplete: [String]
  /// Why packets could not be joined in one way only; empty when they could.
  public var ambiguous: [String]
  /// ICMP errors about the flow, e.g. `isp2: destination unreachable (no route)`.
  public var errors: [String]
  /// Answers from somebody else than was asked, in words.
  public var strays: [String] = []
  /// Lost packets went round in circles.
  public var loop: RoutingLoop?
  /// Where the way there ended, as the packets say it there: another node and port than they were sent to where NAT
  /// rewrote them.
  public var reached: Reached?

  public struct Reached: Sendable, Equatable {
    public var node: String
    public var destination: Endpoint
  }

  public var isComplete: Bool { incomplete.isEmpty }

  /// Nil when there is a verdict.
  public var undecidedBecause: String? {
    let reasons = incomplete + ambiguous
    return reasons.isEmpty ? nil : reasons.joined(separator: "; ")
  }
}

/// Nodes that send a packet round among themselves, in the order in which it passes them.
public struct RoutingLoop: Hashable, Sendable, CustomStringConvertible {
  public var nodes: [String]
  /// Of the answer.
  public var isOnTheWayBack: Bool

  public init(_ nodes: [String], isOnTheWayBack: Bool = false) {
    self.nodes = nodes
    self.isOnTheWayBack = isOnTheWayBack
  }

  /// E.g. `loop a - b`.
  public var description: String {
    "loop \(nodes.joined(separator: " - "))" + (isOnTheWayBack ? ", of the answer" : "")
  }
}

public enum Symmetry: Sendable, Equatable {
  /// The way back uses the same links.
  case yes
  case no
  case undecided
  /// There is no way back to compare, or it leaves no node.
  case notApplicable
}

/// One way of a flow.
public struct PathReport: Sendable, Equatable {
  /// The most used path: nodes in order, switches left out. A node stands as often as it was visited; a loop that the
  /// packet never left is shown once, up to where it closes.
  public var path: [String] = []
  public var hops: [PathHop] = []
  /// Every path seen, most used first.
  public var paths: [CountedPath] = []
  public var packets = 0
  public var lost = 0
  /// The last interface that saw a lost packet.
  public var lastSeen: InterfacePlace?
  /// Where packets ended, most packets first.
  public var drops: [Drop] = []

  public init() {}
}

public struct CountedPath: Sendable, Equatable {
  public var path: [String]
  public var packets: Int

  public init(path: [String], packets: Int) {
    self.path = path
    self.packets = packets
  }
}

/// A node on a path.
public struct PathHop: Sendable, Equatable {
  public var node: String
  public var inbound: String?
  public var outbound: String?
  /// Median from in to out; nil at the ends.
  public var microseconds: Double?
  public var nat: Rewrite?
  public var joinedBy: Join
}

/// What a hop changed; nil where it did not.
public struct Rewrite: Sendable, Equatable {
  public struct Change: Sendable, Equatable {
    public var from: Endpoint
    public var to: Endpoint

    public init(from: Endpoint, to: Endpoint) {
      self.from = from
      self.to = to
    }
  }
  public var source: Change?
  public var destination: Change?
}

/// What identified the packets on both sides of a hop.
public enum Join: String, Sendable {
  case seq
  case nonce
  case conntrack
}
