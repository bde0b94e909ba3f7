import NetTypes

/// A flow that was found in captures, and its two ways through the lab.
public struct LiveFlow: Sendable, Equatable {
  /// IANA's number.
  public var proto: UInt8
  /// The side that spoke first, as its own node sees it; the port of an ICMP echo is its identifier.
  public var client: Endpoint
  public var server: Endpoint
  /// Of packets that were followed; all are, unless there are many.
  public var forward = PathReport()
  public var back = PathReport()
  public var symmetric = Symmetry.notApplicable
  /// Of frames, on the interfaces by which they left their sender.
  public var forwardBytes: UInt64 = 0
  public var backBytes: UInt64 = 0
  /// Why there is no verdict; nil: there is one, or one direction only.
  public var undecidedBecause: String?

  public init(proto: UInt8, client: Endpoint, server: Endpoint) {
    self.proto = proto
    self.client = client
    self.server = server
  }
}

/// One flow as it is written on packets at some place: NAT shows the same flow under several.
struct LiveTuple: Hashable {
  var proto: UInt8
  /// In an order of their own, so that both directions have one tuple.
  var low: Endpoint
  var high: Endpoint

  /// `forward`: from `low` to `high`.
  init(_ proto: UInt8, _ source: Endpoint, _ destination: Endpoint, _ way: inout Way) {
    self.proto = proto
    let isOrdered = source.precedes(destination)
    (low, high) = isOrdered ? (source, destination) : (destination, source)
    way = isOrdered ? .forward : .back
  }

  func source(_ way: Way) -> Endpoint { way == .forward ? low : high }
  func destination(_ way: Way) -> Endpoint { way == .forward ? high : low }
}

extension Endpoint {
  fileprivate func precedes(_ other: Endpoint) -> Bool {
    (address, port ?? 0) < (other.address, other.port ?? 0)
  }
}

extension Way {
  var turned: Way { self == .forward ? .back : .forward }
}
