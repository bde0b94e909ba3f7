internal import CLinux
internal import EventLoop
import Glibc

/// Room for the frames of one recvmmsg(2). One serves every port: what was read is copied into a queue before the next.
final class ReceiveBatch {
  static let size = 32
  /// The largest aggregated packet of a stack without BIG TCP (64 KiB), its Ethernet header and struct virtio_net_hdr.
  private static let slot = 68 << 10
  private static let controlSlot = 128

  private let frames: UnsafeMutableRawPointer
  private let control: UnsafeMutableRawPointer
  private let vectors: UnsafeMutablePointer<iovec>
  private let messages: UnsafeMutablePointer<mmsghdr>

  init() {
    // Untouched pages are no memory: small packets use the first of each slot.
    frames = .allocate(byteCount: Self.size * Self.slot, alignment: 4096)
    control = .allocate(byteCount: Self.size * Self.controlSlot, alignment: 16)
    vectors = .allocate(capacity: Self.size)
    messages = .allocate(capacity: Self.size)
    messages.initialize(repeating: mmsghdr(), count: Self.size)
    for place in 0..<Self.size {
      (vectors + place).initialize(to: iovec(iov_base: frames + place * Self.slot, iov_len: Self.slot))
      messages[place].msg_hdr.msg_iov = vectors + place
      messages[place].msg_hdr.msg_iovlen = 1
      messages[place].msg_hdr.msg_control = control + place * Self.controlSlot
    }
  }

  deinit {
    frames.deallocate()
    control.deallocate()
    vectors.deallocate()
    messages.deallocate()
  }

  /// Reads what waits, without waiting.
  /// - Returns: how many frames, or a negative errno.
  func receive(from port: PacketPort) -> Int {
    for place in 0..<Self.size { messages[place].msg_hdr.msg_controllen = Self.controlSlot }
    let count = recvmmsg(port.descriptor, messages, UInt32(Self.size), Int32(MSG_DONTWAIT), nil)
    return count >= 0 ? Int(count) : -Int(errno)
  }

  /// One of those just read; valid until the next call of `receive`.
  func frame(_ place: Int) -> ReceivedFrame {
    let header = messages[place].msg_hdr
    var frame = ReceivedFrame(
      bytes: UnsafeRawBufferPointer(start: frames + place * Self.slot, count: Int(messages[place].msg_len)))
    frame.isCut = header.msg_flags & Int32(MSG_TRUNC) != 0
    frame.read(
      control: UnsafeRawBufferPointer(start: control + place * Self.controlSlot, count: Int(header.msg_controllen)))
    return frame
  }
}

/// The frames of one sendmmsg(2), sent from where they lie.
final class SendBatch {
  static let size = 32
  private let vectors: UnsafeMutablePointer<iovec>
  private let messages: UnsafeMutablePointer<mmsghdr>
  private(set) var count = 0

  init() {
    vectors = .allocate(capacity: Self.size)
    messages = .allocate(capacity: Self.size)
    vectors.initialize(repeating: iovec(), count: Self.size)
    messages.initialize(repeating: mmsghdr(), count: Self.size)
    for place in 0..<Self.size {
      messages[place].msg_hdr.msg_iov = vectors + place
      messages[place].msg_hdr.msg_iovlen = 1
    }
  }

  deinit {
    vectors.deallocate()
    messages.deallocate()
  }

  func removeAll() { count = 0 }
  var isFull: Bool { count == Self.size }

  func append(_ frame: UnsafeMutableRawBufferPointer) {
    vectors[count] = iovec(iov_base: frame.baseAddress, iov_len: frame.count)
    count += 1
  }

  /// - Returns: how many of them went out, or the negative errno of the first.
  func send(to port: PacketPort) -> Int {
    let sent = sendmmsg(port.descriptor, messages, UInt32(count), Int32(MSG_DONTWAIT))
    return sent >= 0 ? Int(sent) : -Int(errno)
  }
}
