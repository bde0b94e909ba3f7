public import Capture

/// One packet seen on one interface.
public struct Observation: Sendable {
  /// Index into the graph's interfaces.
  public var interface: Int
  /// Nanoseconds; one clock for all interfaces.
  public var time: UInt64
  public var packet: Packet
  /// The captured bytes that `packet` was decoded from.
  public var frame: [UInt8]

  /// nil when the frame is no whole Ethernet header.
  public init?(interface: Int, time: UInt64, frame: [UInt8], wireLength: Int) {
    guard let packet = Packet(frame, wireLength: wireLength) else { return nil }
    self.interface = interface
    self.time = time
    self.packet = packet
    self.frame = frame
  }
}
