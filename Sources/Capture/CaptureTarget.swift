public import NetTypes

/// One interface to capture on.
public struct CaptureTarget: Sendable, Hashable {
  public var node: String
  public var interface: String
  /// Path of the network namespace, e.g. `/proc/12/ns/net`.
  public var namespace: String
  /// For people: `if_description` in the file.
  public var description: String

  public init(node: String, interface: String, namespace: String, description: String = "") {
    self.node = node
    self.interface = interface
    self.namespace = namespace
    self.description = description
  }

  /// `NODE:IFACE`.
  public var name: String { "\(node):\(interface)" }
}

/// How handles are opened.
public struct CaptureOptions: Sendable {
  /// pcap-filter(7); empty: everything.
  public var filter: String
  /// Bytes kept of each packet.
  public var snapLength: Int
  /// Bytes of the kernel's ring per interface. With `immediate` every packet takes a slot of `snapLength`.
  public var ringBytes: Int
  /// true: each packet can be read when it has passed (TPACKET_V2). false: the kernel hands over blocks, at the latest
  /// after 100 ms, which is much cheaper at high rates (TPACKET_V3).
  public var immediate: Bool

  public init(filter: String = "", snapLength: Int = 512, ringBytes: Int = 256 << 10, immediate: Bool = true) {
    self.filter = filter
    self.snapLength = snapLength
    self.ringBytes = ringBytes
    self.immediate = immediate
  }

  /// How long the kernel may keep a block back when not immediate, ms.
  public static let blockTimeout = 100
}

/// What became of opening one interface.
public enum CaptureState: Sendable, Equatable {
  /// Captured; `mac` is the interface's own address at that time, which tells directions.
  case open(mac: MACAddress)
  /// It exists and is administratively down, so nothing can pass.
  case down
  /// There is no such namespace: the node does not run.
  case absent
  /// Anything else, in words: whatever passes here is not seen.
  case failed(String)
}

/// Counters of one handle (pcap_stats).
public struct CaptureStatistics: Sendable, Equatable {
  /// Packets that passed the filter.
  public var received: UInt64
  /// Of those, packets that found no room in the ring.
  public var dropped: UInt64

  public init(received: UInt64, dropped: UInt64) {
    self.received = received
    self.dropped = dropped
  }
}

/// One packet as the kernel handed it over; the bytes are valid only during the call that passes it.
public struct CapturedFrame {
  /// Index of the target.
  public var target: Int
  /// Nanoseconds since 1970 (CLOCK_REALTIME), one clock for all interfaces of a machine.
  public var time: UInt64
  /// Length on the wire; `bytes` may be shorter.
  public var wireLength: Int
  public var bytes: UnsafeRawBufferPointer
}

/// Which way a frame passes an interface.
public enum Direction: UInt8, Sendable, Hashable {
  case inbound = 1
  case outbound = 2
  /// Sent by and to others: flooded by a switch, or passing a switch's own port.
  case foreign = 0

  /// By the interface's own address: what carries it as source leaves, what is for it (or for a group) arrives.
  public init(destination: MACAddress, source: MACAddress, interface: MACAddress) {
    if source == interface && destination != interface {
      self = .outbound
    } else if destination == interface || destination.isGroup {
      self = .inbound
    } else {
      self = .foreign
    }
  }

  /// Of an Ethernet frame as it was captured; nil when its header is not whole.
  public init?(_ frame: UnsafeRawBufferPointer, interface: MACAddress) {
    guard frame.count >= 12, let high = frame.network32(0), let low = frame.network32(8) else { return nil }
    self.init(
      destination: MACAddress(rawValue: UInt64(high) << 16 | UInt64(frame.network16(4) ?? 0)),
      source: MACAddress(rawValue: UInt64(frame.network16(6) ?? 0) << 32 | UInt64(low)), interface: interface)
  }
}

extension MACAddress {
  /// IEEE 802: the lowest bit of the first octet, set in multicast and broadcast addresses.
  public var isGroup: Bool { rawValue >> 40 & 1 == 1 }
}

/// What cannot be captured at all.
public enum CaptureError: Error, Equatable, CustomStringConvertible {
  /// The filter expression does not compile: libpcap's words.
  case filter(String, reason: String)
  case system(String)

  public var description: String {
    switch self {
    case .filter(let text, let reason): "filter \"\(text)\": \(reason)"
    case .system(let reason): reason
    }
  }
}
