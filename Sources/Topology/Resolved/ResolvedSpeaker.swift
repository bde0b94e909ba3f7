public import NetTypes

/// The file of `netloom speaker`: one BGP speaker without a lab.
public struct ResolvedSpeaker: Sendable, Equatable {
  public var file: String
  public var asn: ASNumber
  public var routerID: IPv4Address
  /// Write best routes into the kernel (table main, proto bgp); off unless asked for.
  public var fib: Bool
  public var networks: [IPPrefix]
  public var policies: [Policy]
  public var neighbors: [SpeakerNeighbor]
  public var multipath: UInt32
  /// nil: the router id.
  public var clusterID: IPv4Address?
  /// Some neighbor is a route-reflector client.
  public var routeReflector: Bool
  /// Seconds, the longest `graceful-restart` of the neighbors; 0: off.
  public var restartTime: UInt32
  /// 179 unless written.
  public var listenPort: UInt16
}

public struct SpeakerNeighbor: Sendable, Equatable {
  public var place: Place
  /// Written, or the text of the address.
  public var name: String
  public var address: IPAddress
  public var asn: ASNumber
  /// nil: by route lookup.
  public var localAddress: IPAddress?
  public var families: [AddressFamily]
  public var settings: NeighborSettings
}
