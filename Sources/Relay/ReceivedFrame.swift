import Glibc

/// A frame as a port hands it over: ten bytes of struct virtio_net_hdr, then Ethernet.
struct ReceivedFrame {
  let bytes: UnsafeRawBufferPointer
  /// CLOCK_REALTIME in nanoseconds; nil: the kernel said none.
  var stamp: UInt64?
  /// TPID and TCI as they stand in a frame. The kernel takes an 802.1Q tag out of the frame on its way in.
  var tag: UInt32?
  /// Longer than any frame can be that a link carries.
  var isCut = false

  static let vnetHeader = 10
  private static let addresses = 12
  private static let tagLength = 4

  /// With its tag back in place.
  var length: Int { bytes.count + (tag == nil ? 0 : Self.tagLength) }

  /// Two addresses and a type: less is no Ethernet, and the kernel would not send it.
  var isWhole: Bool { !isCut && bytes.count >= Self.vnetHeader + Self.addresses + 2 }

  /// Writes the frame as it is to be sent.
  func write(to target: UnsafeMutableRawBufferPointer) {
    guard let tag else { return target.copyMemory(from: bytes) }
    let split = Self.vnetHeader + Self.addresses
    target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<split]))
    target.storeBytes(of: tag.bigEndian, toByteOffset: split, as: UInt32.self)
    UnsafeMutableRawBufferPointer(rebasing: target[(split + Self.tagLength)...])
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[split...]))
    Self.shift(target)
  }

  /// The offsets of the header count from the frame's start, and everything has moved by the tag.
  private static func shift(_ frame: UnsafeMutableRawBufferPointer) {
    let needsChecksum: UInt8 = 1  // VIRTIO_NET_HDR_F_NEEDS_CSUM
    if frame[0] & needsChecksum != 0 { add(tagLength, at: 6, frame) }  // csum_start
    if frame[1] != 0 { add(tagLength, at: 2, frame) }  // gso_type, hdr_len
  }

  private static func add(_ number: Int, at offset: Int, _ frame: UnsafeMutableRawBufferPointer) {
    let value = frame.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    frame.storeBytes(of: value &+ UInt16(number), toByteOffset: offset, as: UInt16.self)
  }

  /// Reads stamp and tag from the ancillary data (cmsg(3)) of the message.
  mutating func read(control: UnsafeRawBufferPointer) {
    var place = 0
    while place + 16 <= control.count {
      let length = control.load(fromByteOffset: place, as: Int.self)
      guard length >= 16, place + length <= control.count else { return }
      let level = control.load(fromByteOffset: place + 8, as: Int32.self)
      let type = control.load(fromByteOffset: place + 12, as: Int32.self)
      let data = UnsafeRawBufferPointer(rebasing: control[(place + 16)..<(place + length)])
      if level == SOL_SOCKET, type == Stamp.option, data.count >= 16 {
        stamp = data.load(as: UInt64.self) &* 1_000_000_000 &+ data.load(fromByteOffset: 8, as: UInt64.self)
      } else if level == Packet.level, type == Packet.auxiliaryData, data.count >= 20 {
        readTag(data)
      }
      place += (length + 7) & ~7
    }
  }

  /// struct tpacket_auxdata of linux/if_packet.h.
  private mutating func readTag(_ data: UnsafeRawBufferPointer) {
    let status = data.load(as: UInt32.self)
    let tagValid: UInt32 = 1 << 4  // TP_STATUS_VLAN_VALID
    let typeValid: UInt32 = 1 << 6  // TP_STATUS_VLAN_TPID_VALID
    guard status & tagValid != 0 else { return }
    let control = data.load(fromByteOffset: 16, as: UInt16.self)
    let type = status & typeValid != 0 ? data.load(fromByteOffset: 18, as: UInt16.self) : 0x8100
    tag = UInt32(type) << 16 | UInt32(control)
  }
}
