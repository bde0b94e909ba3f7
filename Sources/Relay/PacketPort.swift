internal import CLinux
internal import EventLoop
import Glibc

/// A packet socket (packet(7)) on the far end of a veth pair: what comes from the node is read here, what is for the node
/// is sent here.
///
/// PACKET_VNET_HDR puts ten bytes (struct virtio_net_hdr) before each frame both ways: unset checksums stay unset and
/// packets that the sender's stack has left aggregated pass whole, as they do on a plain veth pair. It has no ring: a ring
/// costs grace periods when the socket is closed, and V3's blocks would cost latency.
final class PacketPort {
  let descriptor: Int32
  let index: UInt32
  private var droppedBefore: UInt64 = 0

  /// Opens in the calling thread's namespace. An interface that is down is waited for: its socket begins to hear when it
  /// comes up.
  init(_ index: UInt32) throws(SystemError) {
    self.index = index
    // No protocol yet: nothing is received before the options stand.
    let file = try FileDescriptor(
      owning: systemCall("socket", "AF_PACKET") {
        socket(AF_PACKET, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
      })
    let raw = file.rawValue
    for (option, name) in [
      (Packet.vnetHeader, "PACKET_VNET_HDR"), (Packet.ignoreOutgoing, "PACKET_IGNORE_OUTGOING"),
      (Packet.auxiliaryData, "PACKET_AUXDATA"),
    ] {
      try systemCall("setsockopt", name) { Self.set(raw, Packet.level, option, 1) }
    }
    try systemCall("setsockopt", "SO_TIMESTAMPNS") { Self.set(raw, SOL_SOCKET, Stamp.option, 1) }
    Self.enlarge(raw)
    try systemCall("bind", "interface \(index)") { Self.bind(raw, index) }
    descriptor = file.release()
  }

  deinit { _ = close(descriptor) }

  /// Beyond the machine's limit only as root. Without it a port holds what `net.core.rmem_max` allows.
  private static func enlarge(_ file: Int32) {
    for (forced, ordinary) in [(SO_RCVBUFFORCE, SO_RCVBUF), (SO_SNDBUFFORCE, SO_SNDBUF)]
    where set(file, SOL_SOCKET, forced, buffer) != 0 { _ = set(file, SOL_SOCKET, ordinary, buffer) }
  }

  /// Bytes. What the kernel keeps while this process waits for a processor: some milliseconds at 10 Gbit/s.
  private static let buffer: Int32 = 8 << 20

  private static func set(_ file: Int32, _ level: Int32, _ option: Int32, _ value: Int32) -> Int32 {
    var value = value
    return setsockopt(file, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  private static func bind(_ file: Int32, _ index: UInt32) -> Int32 {
    var address = LinkLayerAddress(index: Int32(bitPattern: index))
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        CLinux.bind(
          file, __CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<LinkLayerAddress>.size))
      }
    }
  }

  /// Packets that the kernel threw away because this process did not read them in time, since the socket was opened.
  func unread() -> UInt64 {
    var now: (packets: UInt32, drops: UInt32) = (0, 0)  // struct tpacket_stats; the kernel begins again at 0
    var size = socklen_t(MemoryLayout.size(ofValue: now))
    if getsockopt(descriptor, Packet.level, Packet.statistics, &now, &size) == 0 { droppedBefore += UInt64(now.drops) }
    return droppedBefore
  }
}

/// Of linux/if_packet.h.
enum Packet {
  static let level: Int32 = 263  // SOL_PACKET
  static let statistics: Int32 = 6
  static let auxiliaryData: Int32 = 8
  static let vnetHeader: Int32 = 15
  static let ignoreOutgoing: Int32 = 23
}

/// When the kernel received a packet (socket(7)).
enum Stamp {
  static let option: Int32 = 35  // SO_TIMESTAMPNS of asm-generic/socket.h: a timespec of CLOCK_REALTIME
}

/// struct sockaddr_ll of linux/if_packet.h.
private struct LinkLayerAddress {
  var family = UInt16(AF_PACKET)
  var proto = UInt16(3).bigEndian  // ETH_P_ALL
  var index: Int32
  var hardwareType: UInt16 = 0
  var packetType: UInt8 = 0
  var addressLength: UInt8 = 0
  var address: (UInt32, UInt32) = (0, 0)
}
