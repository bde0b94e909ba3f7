import CLinux
import Glibc
import NetTypes

/// When packets were received, by the kernel's clock (CLOCK_REALTIME): SO_TIMESTAMPNS of socket(7).
///
/// The kernel stamps packets only while somebody wants it, and begins a little after the first has asked; until then a
/// packet gets the time at which it is read. So one socket of ours asks for as long as the process lives, and nobody
/// captures before it has seen that stamps are true.
public enum ReceiveStamps {
  /// SO_TIMESTAMPNS and SCM_TIMESTAMPNS (asm-generic/socket.h); the value is a timespec.
  public static let option: Int32 = 35

  /// Returns when packets are stamped as they pass; on a machine without a working `lo`, after 20 ms.
  public static func begin() { _ = keeper }

  private static let keeper: Int32 = open()

  private static func open() -> Int32 {
    let file = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard file >= 0 else { return -1 }
    var on: Int32 = 1
    setsockopt(file, SOL_SOCKET, option, &on, socklen_t(MemoryLayout<Int32>.size))
    var storage = sockaddr_storage()
    let length = nl_address(&storage, [127, 0, 0, 1], 4, 0, 0)
    let ready = withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        var size = length
        return CLinux.bind(file, __CONST_SOCKADDR_ARG(__sockaddr__: address), length) == 0
          && getsockname(file, __SOCKADDR_ARG(__sockaddr__: address), &size) == 0
          && CLinux.connect(file, __CONST_SOCKADDR_ARG(__sockaddr__: address), length) == 0
      }
    }
    for _ in 0..<200 {
      if ready, isTrue(file) { break }
      usleep(100)  // poll
    }
    return file
  }

  /// A datagram over `lo` has arrived when `send` returns: a stamp of later is that of the reading.
  private static func isTrue(_ file: Int32) -> Bool {
    var byte: UInt8 = 0
    guard send(file, &byte, 1, Int32(MSG_NOSIGNAL)) == 1 else { return false }
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return withUnsafeMutableBytes(of: &byte) { receive(file, $0) }.map { $0.time <= nanoseconds(time) } ?? false
  }

  /// One packet and when it came: its whole length, of which the buffer holds the beginning. Nil when none waits.
  public static func receive(_ file: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> (length: Int, time: UInt64)? {
    withUnsafeTemporaryAllocation(byteCount: controlSize, alignment: 8) { control in
      var part = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
      return withUnsafeMutablePointer(to: &part) { part in
        var message = msghdr()
        message.msg_iov = part
        message.msg_iovlen = 1
        message.msg_control = control.baseAddress
        message.msg_controllen = controlSize
        var length: Int
        repeat { length = recvmsg(file, &message, Int32(MSG_TRUNC)) } while length < 0 && errno == EINTR
        guard length >= 0 else { return nil }
        return (length, stamp(UnsafeRawBufferPointer(control).prefix(message.msg_controllen)))
      }
    }
  }

  private static let controlSize = 64

  /// The only control message that was asked for: a cmsghdr (length, level, type), then the time.
  private static func stamp(_ control: Slice<UnsafeRawBufferPointer>) -> UInt64 {
    let header = MemoryLayout<cmsghdr>.size
    guard control.count >= header + MemoryLayout<timespec>.size else {
      var now = timespec()
      clock_gettime(CLOCK_REALTIME, &now)
      return nanoseconds(now)
    }
    return nanoseconds(control.loadUnaligned(fromByteOffset: header, as: timespec.self))
  }

  private static func nanoseconds(_ time: timespec) -> UInt64 {
    UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
