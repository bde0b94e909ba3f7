internal import CLinux
import Glibc
package import NetTypes

/// One message the kernel sent: a view into the receive buffer, valid only while that buffer is being walked.
package struct Message {
  /// All of it, netlink header included.
  package let bytes: UnsafeRawBufferPointer
  private let header: nlmsghdr

  /// nil when fewer bytes are there than the message says, or than its header takes.
  package init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= MemoryLayout<nlmsghdr>.size else { return nil }
    header = bytes.loadUnaligned(as: nlmsghdr.self)
    let length = Int(header.nlmsg_len)
    guard length >= MemoryLayout<nlmsghdr>.size, length <= bytes.count else { return nil }
    self.bytes = UnsafeRawBufferPointer(rebasing: bytes[..<length])
  }

  package var type: MessageType { MessageType(rawValue: header.nlmsg_type) }
  package var flags: MessageFlags { MessageFlags(rawValue: header.nlmsg_flags) }
  package var sequence: UInt32 { header.nlmsg_seq }
  package var portID: UInt32 { header.nlmsg_pid }
  /// Bytes to the next message.
  package var stride: Int { (bytes.count + 3) & ~3 }

  private var payload: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[MemoryLayout<nlmsghdr>.size...])
  }

  /// The fixed part behind the netlink header; nil when the message is too short for it.
  package func header<Header: BitwiseCopyable>(as type: Header.Type) -> Header? {
    let payload = payload
    guard payload.count >= MemoryLayout<Header>.size else { return nil }
    return payload.loadUnaligned(as: type)
  }

  /// The attributes behind the fixed part.
  package func attributes<Header: BitwiseCopyable>(after type: Header.Type) -> Attributes {
    attributes(from: (MemoryLayout<Header>.size + 3) & ~3)
  }

  package func attributes(from offset: Int) -> Attributes {
    let payload = payload
    return Attributes(UnsafeRawBufferPointer(rebasing: payload[Swift.min(offset, payload.count)...]))
  }
}

/// A run of attributes. Iteration ends where the next one would not fit.
package struct Attributes: Sequence, IteratorProtocol {
  private var rest: UnsafeRawBufferPointer

  package init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

  package mutating func next() -> Attribute? {
    let headerSize = MemoryLayout<nlattr>.size
    guard rest.count >= headerSize else { return nil }
    let header = rest.loadUnaligned(as: nlattr.self)
    let length = Int(header.nla_len)
    guard length >= headerSize, length <= rest.count else { return nil }
    let value = UnsafeRawBufferPointer(rebasing: rest[headerSize..<length])
    rest = UnsafeRawBufferPointer(rebasing: rest[Swift.min((length + 3) & ~3, rest.count)...])
    return Attribute(type: AttributeType(header.nla_type & UInt16(NL_NLA_TYPE_MASK)), value: value)
  }
}

/// One attribute. Each reader answers nil when the value is too short for what is asked.
package struct Attribute {
  package let type: AttributeType
  package let value: UnsafeRawBufferPointer

  package func integer<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type = Value.self) -> Value? {
    value.count >= MemoryLayout<Value>.size ? value.loadUnaligned(as: type) : nil
  }

  package func structure<Value: BitwiseCopyable>(_ type: Value.Type) -> Value? {
    value.count >= MemoryLayout<Value>.size ? value.loadUnaligned(as: type) : nil
  }

  /// Up to the terminating zero.
  package var string: String { String(decoding: value.prefix { $0 != 0 }, as: UTF8.self) }
  package var address: IPAddress? { IPAddress(bytes: value) }
  package var nested: Attributes { Attributes(value) }
}
