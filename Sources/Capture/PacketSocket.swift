import CLinux
import CPcap
import Glibc
import NetTypes

/// The owner of one packet socket (packet(7)) on an interface.
///
/// It has no ring, on purpose: a socket with a ring costs the kernel two grace periods when it goes away, and the
/// mapping keeps it alive until the whole address space ends, so that the rings of a killed process go one after the
/// other (400 of them: 10 s). Without one it is opened in microseconds, and takes memory only while packets wait.
struct PacketSocket: ~Copyable {
  let descriptor: Int32
  let mac: MACAddress
  private var counters = CaptureStatistics(received: 0, dropped: 0)

  /// Opens in the calling thread's network namespace. What passes the filter from now on is kept.
  init(
    interface: String, _ filter: [FilterInstruction], receiveBuffer: Int
  ) throws(CaptureHandle.OpenFailure) {
    let index = if_nametoindex(interface)
    guard index != 0 else { throw .failed(Self.reason(errno)) }
    // No protocol yet: nothing is received before the filter stands.
    let file = socket(AF_PACKET, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard file >= 0 else { throw .failed(Self.reason(errno)) }
    do throws(CaptureHandle.OpenFailure) {
      try Self.prepare(file, filter, receiveBuffer)
      mac = try Self.bind(file, Int32(index))
    } catch {
      _ = close(file)
      throw error
    }
    descriptor = file
  }

  deinit { _ = close(descriptor) }

  private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }

  private static func prepare(
    _ file: Int32, _ filter: [FilterInstruction], _ receiveBuffer: Int
  ) throws(CaptureHandle.OpenFailure) {
    let attached = filter.withUnsafeBufferPointer { instructions in
      var program = FilterProgramHeader(count: UInt16(instructions.count), instructions: instructions.baseAddress)
      return setsockopt(
        file, SOL_SOCKET, Option.attachFilter, &program, socklen_t(MemoryLayout<FilterProgramHeader>.size))
    }
    guard attached == 0 else { throw .failed(reason(errno)) }
    // Beyond the machine's limit only as root; the limit holds some 500 small packets.
    if !set(file, Option.receiveBufferForce, Int32(receiveBuffer)) { set(file, SO_RCVBUF, Int32(receiveBuffer)) }
    guard set(file, ReceiveStamps.option, 1) else { throw .failed(reason(errno)) }
  }

  @discardableResult
  private static func set(_ file: Int32, _ option: Int32, _ value: Int32) -> Bool {
    var value = value
    return setsockopt(file, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
  }

  /// - Returns: the interface's own address.
  private static func bind(_ file: Int32, _ index: Int32) throws(CaptureHandle.OpenFailure) -> MACAddress {
    var address = LinkLayerAddress(family: UInt16(AF_PACKET), proto: everyProtocol.bigEndian, index: index)
    var length = socklen_t(MemoryLayout<LinkLayerAddress>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        CLinux.bind(file, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length) == 0
          && getsockname(file, __SOCKADDR_ARG(__sockaddr__: $0), &length) == 0
      }
    }
    guard bound else { throw .failed(reason(errno)) }
    // An interface that is down can be bound; the socket says so as its first error.
    var pending: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(file, SOL_SOCKET, SO_ERROR, &pending, &size)
    if pending == ENETDOWN { throw .down }
    let bytes = withUnsafeBytes(of: &address.address) { Array($0.prefix(6)) }
    // Directions and decoders rest on Ethernet headers; a tunnel of the user's own has none.
    guard address.hardwareType == LinkLayerAddress.ethernet || address.hardwareType == LinkLayerAddress.loopback,
      let mac = MACAddress(bytes: bytes)
    else { throw .failed("not an Ethernet interface") }
    return mac
  }

  private static let everyProtocol: UInt16 = 3  // ETH_P_ALL (linux/if_ether.h)

  // MARK: Reading

  /// Hands over what waits, at most `limit` packets, in order.
  /// - Parameter buffer: as long as what is kept of each packet.
  borrowing func read(
    into buffer: UnsafeMutableRawBufferPointer, limit: Int, _ body: (UInt64, Int, UnsafeRawBufferPointer) -> Void
  ) {
    for _ in 0..<limit {
      guard let (length, time) = ReceiveStamps.receive(descriptor, buffer) else { return }
      body(time, length, UnsafeRawBufferPointer(rebasing: buffer.prefix(length)))
    }
  }

  /// Since it was opened.
  mutating func statistics() -> CaptureStatistics {
    var now: (packets: UInt32, drops: UInt32) = (0, 0)  // struct tpacket_stats; the kernel begins again at 0
    var size = socklen_t(MemoryLayout.size(ofValue: now))
    if getsockopt(descriptor, Option.packetLevel, Option.packetStatistics, &now, &size) == 0 {
      counters.received += UInt64(now.packets)
      counters.dropped += UInt64(now.drops)
    }
    return counters
  }

  /// Of asm-generic/socket.h and linux/if_packet.h.
  private enum Option {
    static let attachFilter: Int32 = 26
    static let receiveBufferForce: Int32 = 33
    static let packetLevel: Int32 = 263
    static let packetStatistics: Int32 = 6
  }
}

/// struct sock_fprog of linux/filter.h.
private struct FilterProgramHeader {
  var count: UInt16
  var instructions: UnsafePointer<FilterInstruction>?
}

/// struct sockaddr_ll of linux/if_packet.h.
private struct LinkLayerAddress {
  var family: UInt16
  var proto: UInt16
  var index: Int32
  var hardwareType: UInt16 = 0
  var packetType: UInt8 = 0
  var addressLength: UInt8 = 0
  var address: (UInt32, UInt32) = (0, 0)

  static let ethernet: UInt16 = 1
  static let loopback: UInt16 = 772
}
