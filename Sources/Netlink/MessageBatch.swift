internal import CLinux
import Glibc
package import NetTypes

/// Requests to the kernel, built one behind the other in one buffer and sent by `NetlinkSocket.commit`.
///
/// Each object kind adds its own verbs (`addLink`, `addAddress`, ...) in its own file. Lengths are never counted by
/// hand: libmnl keeps the message's, and `nest` patches an attribute's when its closure returns.
public struct MessageBatch: ~Copyable {
  package private(set) var base: UnsafeMutableRawPointer
  private var capacity: Int
  /// Bytes in use.
  package private(set) var length = 0
  /// Where the message being built starts.
  private var current = 0
  /// How many requests it holds.
  public private(set) var count = 0

  /// - Parameter capacity: bytes to start with; the buffer grows.
  public init(capacity: Int = 4096) {
    self.capacity = max(capacity, 512)
    base = UnsafeMutableRawPointer.allocate(byteCount: self.capacity, alignment: 8)
  }

  deinit { base.deallocate() }

  public var isEmpty: Bool { count == 0 }

  /// Forgets the requests and keeps the buffer.
  public mutating func removeAll() {
    length = 0
    count = 0
  }

  /// Adds one request: its fixed header, then what `attributes` puts.
  package mutating func append<Header: BitwiseCopyable>(
    _ type: MessageType, _ flags: MessageFlags, _ header: Header,
    attributes: (inout MessageBatch) -> Void = { _ in }
  ) {
    let size = MemoryLayout<Header>.size
    reserve(MemoryLayout<nlmsghdr>.size + size + 8)
    current = length
    let message = mnl_nlmsg_put_header(base + length)
    message?.pointee.nlmsg_type = type.rawValue
    message?.pointee.nlmsg_flags = flags.union(.request).rawValue
    if let extra = mnl_nlmsg_put_extra_header(message, size) {
      withUnsafeBytes(of: header) { extra.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(extra), byteCount: size) }
    }
    settle()
    attributes(&self)
    count += 1
  }

  private var message: UnsafeMutablePointer<nlmsghdr> { (base + current).assumingMemoryBound(to: nlmsghdr.self) }

  /// The end of the buffer follows the end of the message, rounded up as the next message must start.
  private mutating func settle() { length = current + (Int(message.pointee.nlmsg_len) + 3) & ~3 }

  private mutating func reserve(_ more: Int) {
    let needed = length + more
    guard needed > capacity else { return }
    capacity = max(needed, capacity * 2)
    let grown = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
    grown.copyMemory(from: base, byteCount: length)
    base.deallocate()
    base = grown
  }

  package mutating func put(_ type: AttributeType, bytes: UnsafeRawBufferPointer) {
    reserve(bytes.count + 8)
    mnl_attr_put(message, type.rawValue, bytes.count, bytes.baseAddress)
    settle()
  }

  package mutating func put(_ type: AttributeType, _ bytes: [UInt8]) { bytes.withUnsafeBytes { put(type, bytes: $0) } }
  package mutating func put(_ type: AttributeType, _ value: UInt8) {
    withUnsafeBytes(of: value) { put(type, bytes: $0) }
  }
  package mutating func put(_ type: AttributeType, _ value: UInt16) {
    withUnsafeBytes(of: value) { put(type, bytes: $0) }
  }
  package mutating func put(_ type: AttributeType, _ value: UInt32) {
    withUnsafeBytes(of: value) { put(type, bytes: $0) }
  }

  package mutating func put(_ type: AttributeType, _ value: UInt64) {
    withUnsafeBytes(of: value) { put(type, bytes: $0) }
  }

  /// A structure of the kernel's.
  package mutating func put<Value: BitwiseCopyable>(_ type: AttributeType, structure: Value) {
    withUnsafeBytes(of: structure) { put(type, bytes: $0) }
  }

  /// A zero-terminated string.
  package mutating func put(_ type: AttributeType, _ text: String) { put(type, Array(text.utf8) + [0]) }

  /// Four or sixteen bytes in network order.
  package mutating func put(_ type: AttributeType, _ address: IPAddress) {
    switch address {
    case .v4(let address):
      withUnsafeBytes(of: address.rawValue.bigEndian) { put(type, bytes: $0) }
    case .v6(let address):
      withUnsafeBytes(of: (address.high.bigEndian, address.low.bigEndian)) { put(type, bytes: $0) }
    }
  }

  /// Raw bytes inside the attribute being built: the fixed part of a multipath hop or of a veth peer.
  mutating func putRaw<Value: BitwiseCopyable>(_ value: Value) {
    reserve(MemoryLayout<Value>.size + 8)
    withUnsafeBytes(of: value) { bytes in
      if let start = bytes.baseAddress { (base + length).copyMemory(from: start, byteCount: bytes.count) }
    }
    message.pointee.nlmsg_len = UInt32(length - current + MemoryLayout<Value>.size)
    settle()
  }

  /// An attribute whose value is what `body` puts; its length is patched in afterwards.
  package mutating func nest(_ type: AttributeType, flagged: Bool = true, _ body: (inout MessageBatch) -> Void) {
    let start = length
    put(type, bytes: UnsafeRawBufferPointer(start: nil, count: 0))
    body(&self)
    let attribute = (base + start).assumingMemoryBound(to: nlattr.self)
    attribute.pointee.nla_len = UInt16(truncatingIfNeeded: length - start)
    if flagged { attribute.pointee.nla_type |= UInt16(NLA_F_NESTED) }
  }

  /// What a C library appends to the message being built (it counts nlmsg_len itself, and checks no bound).
  package mutating func extend(byAtMost bytes: Int, _ body: (UnsafeMutableRawPointer) -> Void) {
    reserve(bytes)
    body(base + current)
    settle()
  }

  /// A structure with a length field of its own (`rtnexthop`), patched after `body` like an attribute's.
  mutating func sized<Value: BitwiseCopyable>(
    _ value: Value, _ length: WritableKeyPath<Value, UInt16>, _ body: (inout MessageBatch) -> Void
  ) {
    let start = self.length
    putRaw(value)
    body(&self)
    var patched = value
    patched[keyPath: length] = UInt16(truncatingIfNeeded: self.length - start)
    (base + start).storeBytes(of: patched, as: Value.self)
  }
}

extension MessageBatch {
  /// The bytes of all requests, for tests that compare them with what the kernel documents.
  public var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: base, count: length)) }
}
