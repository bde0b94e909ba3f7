internal import CLinux
import Glibc

extension NetlinkSocket {
  /// How often an interrupted dump is begun again before the table is taken to be changing all the time.
  private static let dumpAttempts = 16

  /// Asks for a whole table and decodes each entry. A dump that the kernel marks as interrupted (the table changed
  /// under it) is begun again.
  package func dump<Header: BitwiseCopyable, Entry>(
    _ type: MessageType, _ header: Header, attributes: (inout MessageBatch) -> Void = { _ in },
    decode: (Message) -> Entry?
  ) throws(KernelError) -> [Entry] {
    var batch = MessageBatch(capacity: 512)
    batch.append(type, .dump, header, attributes: attributes)
    for _ in 0..<Self.dumpAttempts {
      var entries: [Entry] = []
      if try dumpOnce(type, &batch, decode: { if let entry = decode($0) { entries.append(entry) } }) {
        return entries
      }
    }
    throw KernelError(number: EINTR, call: "\(type)", subject: "the table kept changing")
  }

  /// false: interrupted.
  private func dumpOnce(
    _ type: MessageType, _ batch: inout MessageBatch, decode: (Message) -> Void
  ) throws(KernelError) -> Bool {
    let sequence = nextSequence()
    batch.base.assumingMemoryBound(to: nlmsghdr.self).pointee.nlmsg_seq = sequence
    try send(UnsafeRawBufferPointer(start: batch.base, count: batch.length))
    var whole = true
    while true {
      var rest = try receive()
      while let message = Message(rest) {
        rest = UnsafeRawBufferPointer(rebasing: rest[min(message.stride, rest.count)...])
        guard message.sequence == sequence else { continue }
        if message.flags.contains(.interrupted) { whole = false }
        switch message.type {
        case .done:
          if let code = message.header(as: Int32.self), code < 0 {
            throw KernelError(number: -code, call: "\(type)")
          }
          return whole
        case .error:
          if let refusal = message.refusal { throw refusal }
          return whole
        default: decode(message)
        }
      }
    }
  }

  /// Asks for one object; nil when the kernel answers that there is none.
  package func get<Header: BitwiseCopyable, Entry>(
    _ type: MessageType, _ header: Header, attributes: (inout MessageBatch) -> Void,
    decode: (Message) -> Entry?
  ) throws(KernelError) -> Entry? {
    var batch = MessageBatch(capacity: 512)
    batch.append(type, [], header, attributes: attributes)
    let sequence = nextSequence()
    batch.base.assumingMemoryBound(to: nlmsghdr.self).pointee.nlmsg_seq = sequence
    try send(UnsafeRawBufferPointer(start: batch.base, count: batch.length))
    while true {
      var rest = try receive()
      while let message = Message(rest) {
        rest = UnsafeRawBufferPointer(rebasing: rest[min(message.stride, rest.count)...])
        guard message.sequence == sequence else { continue }
        guard message.type == .error else { return decode(message) }
        guard let refusal = message.refusal else { return nil }
        if refusal.isNotThere { return nil }
        throw refusal
      }
    }
  }
}
