internal import CLinux
internal import Glibc

/// A netlink socket (NETLINK_ROUTE unless said otherwise) in one namespace.
///
/// Requests go out many in one `sendmsg`; the kernel works through them inside that call, so its answers wait in the
/// receive queue when it returns. Only the last request of a piece asks for an acknowledgement: a refusal is always
/// answered, so everything unanswered before it was done. Answers whose sequence number is not ours are dropped.
///
/// Not safe for use by two threads at once; may be handed from one to another.
public final class NetlinkSocket {
  package let socket: OpaquePointer
  private var sequence: UInt32
  /// Bytes of one sendmsg.
  private let pieceLimit: Int
  private var receiveBuffer: UnsafeMutableRawBufferPointer

  public static let defaultReceiveBuffer = 1 << 20

  /// Opens in the calling thread's namespace.
  /// - Parameters:
  ///   - receiveBuffer: bytes of SO_RCVBUF; refused sizes fall back to what the system allows.
  ///   - pieceLimit: most bytes of one sendmsg. Larger is faster for bulk loads and blocks the caller longer.
  public convenience init(
    receiveBuffer: Int = defaultReceiveBuffer, pieceLimit: Int = 64 << 10
  ) throws(KernelError) {
    try self.init(adopting: Self.openHere(), receiveBuffer: receiveBuffer, pieceLimit: pieceLimit)
  }

  /// Opens in `namespace`, by a throw-away thread.
  public convenience init(
    in namespace: Namespace, receiveBuffer: Int = defaultReceiveBuffer, pieceLimit: Int = 64 << 10
  ) throws(KernelError) {
    let descriptor = try namespace.run { () throws(KernelError) in try Self.openHere() }
    try self.init(adopting: descriptor, receiveBuffer: receiveBuffer, pieceLimit: pieceLimit)
  }

  /// One socket in each namespace, all opened by one throw-away thread.
  public static func open(inEach namespaces: [Namespace]) throws(KernelError) -> [NetlinkSocket] {
    try Namespace.runInEach(namespaces) { (_) throws(KernelError) in
      try NetlinkSocket(receiveBuffer: 256 << 10)
    }
  }

  /// A socket of another netlink protocol (NETLINK_NETFILTER) in `namespace`; nil: in the calling thread's.
  /// - Parameter sendLimit: bytes of the largest sendmsg wanted; the system may allow less.
  package convenience init(
    protocol number: Int32, in namespace: Namespace?, receiveBuffer: Int, sendLimit: Int
  ) throws(KernelError) {
    let descriptor =
      if let namespace {
        try namespace.run { () throws(KernelError) in try Self.openHere(number) }
      } else {
        try Self.openHere(number)
      }
    try self.init(adopting: descriptor, receiveBuffer: receiveBuffer, pieceLimit: sendLimit)
  }

  private static func openHere(_ number: Int32 = NETLINK_ROUTE) throws(KernelError) -> Int32 {
    let descriptor = Glibc.socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), number)
    guard descriptor >= 0 else { throw KernelError(call: "socket", subject: "netlink protocol \(number)") }
    return descriptor
  }

  private init(adopting descriptor: Int32, receiveBuffer: Int, pieceLimit: Int) throws(KernelError) {
    guard let socket = mnl_socket_fdopen(descriptor) else {
      let error = KernelError(call: "mnl_socket_fdopen")
      close(descriptor)
      throw error
    }
    guard mnl_socket_bind(socket, 0, pid_t(MNL_SOCKET_AUTOPID)) == 0 else {
      let error = KernelError(call: "bind", subject: "netlink")
      mnl_socket_close(socket)
      throw error
    }
    self.socket = socket
    sequence = UInt32(truncatingIfNeeded: time(nil))
    self.pieceLimit = pieceLimit
    self.receiveBuffer = .allocate(byteCount: 64 << 10, alignment: 8)
    setOptions(receiveBuffer: receiveBuffer)
  }

  deinit {
    mnl_socket_close(socket)
    receiveBuffer.deallocate()
  }

  public var fileDescriptor: Int32 { mnl_socket_get_fd(socket) }

  /// The address of this socket within its namespace: notifications that its own requests cause carry it.
  public var portID: UInt32 { mnl_socket_get_portid(socket) }

  private func setOptions(receiveBuffer: Int) {
    // Each is an improvement only: an older kernel lacks some, and the requests still work.
    var on: Int32 = 1
    let size = socklen_t(MemoryLayout<Int32>.size)
    mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, size)
    mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &on, size)
    mnl_socket_setsockopt(socket, NETLINK_GET_STRICT_CHK, &on, size)
    resize(SO_RCVBUFFORCE, SO_RCVBUF, to: receiveBuffer)
    resize(SO_SNDBUFFORCE, SO_SNDBUF, to: pieceLimit * 2)
    // The kernel answers inside sendmsg; this only keeps a broken kernel from stopping us for ever.
    var patience = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(fileDescriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  }

  /// The forced option goes beyond the system's limit and needs CAP_NET_ADMIN in the first user namespace.
  func resize(_ forced: Int32, _ ordinary: Int32, to bytes: Int) {
    var value = Int32(clamping: bytes)
    let size = socklen_t(MemoryLayout<Int32>.size)
    if setsockopt(fileDescriptor, SOL_SOCKET, forced, &value, size) != 0 {
      setsockopt(fileDescriptor, SOL_SOCKET, ordinary, &value, size)
    }
  }

  // MARK: Requests

  /// Sends the requests that `build` adds and throws the first refusal. Requests after a refused one are still done.
  public func commit(_ build: (inout MessageBatch) -> Void) throws(KernelError) {
    var batch = MessageBatch()
    build(&batch)
    try commit(&batch)
  }

  /// Sends the requests, throws the first refusal; `KernelError.message` is its place in the batch.
  public func commit(_ batch: inout MessageBatch) throws(KernelError) {
    if let first = try commitReportingEach(&batch).first { throw first }
  }

  /// Sends the requests and answers every refusal, in order. Throws only when the socket itself fails.
  public func commitReportingEach(_ batch: inout MessageBatch) throws(KernelError) -> [KernelError] {
    var refusals: [KernelError] = []
    var start = 0
    var done = 0
    while start < batch.length {
      let piece = stamp(batch, from: start)
      try send(UnsafeRawBufferPointer(start: batch.base + start, count: piece.bytes))
      try awaitAcknowledgement(of: piece, in: batch, at: start, before: done, into: &refusals)
      start += piece.bytes
      done += piece.messages
    }
    return refusals
  }

  private struct Piece {
    var bytes = 0
    var messages = 0
    var firstSequence: UInt32 = 0
    var lastSequence: UInt32 { firstSequence &+ UInt32(messages) &- 1 }
  }

  /// Numbers the messages of the next piece and lets its last one ask for an acknowledgement.
  private func stamp(_ batch: borrowing MessageBatch, from start: Int) -> Piece {
    var piece = Piece(firstSequence: sequence)
    var last = batch.base + start
    while start + piece.bytes < batch.length {
      let message = (batch.base + start + piece.bytes).assumingMemoryBound(to: nlmsghdr.self)
      let size = (Int(message.pointee.nlmsg_len) + 3) & ~3
      if piece.bytes + size > pieceLimit, piece.messages > 0 { break }
      message.pointee.nlmsg_seq = sequence
      message.pointee.nlmsg_flags &= ~MessageFlags.acknowledge.rawValue
      last = UnsafeMutableRawPointer(message)
      sequence &+= 1
      piece.bytes += size
      piece.messages += 1
    }
    last.assumingMemoryBound(to: nlmsghdr.self).pointee.nlmsg_flags |= MessageFlags.acknowledge.rawValue
    return piece
  }

  package func send(_ bytes: UnsafeRawBufferPointer) throws(KernelError) {
    while mnl_socket_sendto(socket, bytes.baseAddress, bytes.count) < 0 {
      if errno != EINTR { throw KernelError(call: "sendto", subject: "netlink, \(bytes.count) bytes") }
    }
  }

  private func awaitAcknowledgement(
    of piece: Piece, in batch: borrowing MessageBatch, at start: Int, before: Int, into refusals: inout [KernelError]
  ) throws(KernelError) {
    var finished = false
    while !finished {
      let received = try receive()
      var rest = received
      while let message = Message(rest) {
        rest = UnsafeRawBufferPointer(rebasing: rest[min(message.stride, rest.count)...])
        let place = message.sequence &- piece.firstSequence
        guard message.type == .error, place < UInt32(piece.messages) else { continue }
        if var refusal = message.refusal {
          refusal.message = before + Int(place)
          refusals.append(refusal)
        }
        if message.sequence == piece.lastSequence { finished = true }
      }
    }
  }

  /// The next datagram; valid until the next call.
  package func receive() throws(KernelError) -> UnsafeRawBufferPointer {
    while true {
      let count = mnl_socket_recvfrom(socket, receiveBuffer.baseAddress, receiveBuffer.count)
      if count >= 0 { return UnsafeRawBufferPointer(rebasing: receiveBuffer[..<count]) }
      if errno != EINTR { throw KernelError(call: "recvfrom", subject: "netlink") }
    }
  }

  /// The next datagram if one waits already; nil if none does. Valid until the next call.
  package func receiveQueued() throws(KernelError) -> UnsafeRawBufferPointer? {
    while true {
      let count = recv(fileDescriptor, receiveBuffer.baseAddress, receiveBuffer.count, Int32(MSG_DONTWAIT))
      if count >= 0 { return UnsafeRawBufferPointer(rebasing: receiveBuffer[..<count]) }
      if errno == EAGAIN { return nil }
      if errno != EINTR { throw KernelError(call: "recv", subject: "netlink") }
    }
  }

  package func nextSequence() -> UInt32 {
    defer { sequence &+= 1 }
    return sequence
  }
}

extension Message {
  /// The refusal that an NLMSG_ERROR message carries; nil for an acknowledgement.
  package var refusal: KernelError? {
    guard let error = header(as: nlmsgerr.self) else { return KernelError(number: EPROTO, call: "netlink answer") }
    guard error.error != 0 else { return nil }
    var refusal = KernelError(
      number: -error.error, call: MessageType(rawValue: error.msg.nlmsg_type).description)
    if flags.contains(.reasons) {
      let echoed = flags.contains(.capped) ? 0 : Int(error.msg.nlmsg_len) - MemoryLayout<nlmsghdr>.size
      for attribute in attributes(from: MemoryLayout<nlmsgerr>.size + max(0, echoed + 3) & ~3) {
        switch attribute.type {
        case AttributeType(NLMSGERR_ATTR_MSG): refusal.kernelText = attribute.string
        case AttributeType(NLMSGERR_ATTR_OFFS): refusal.offset = attribute.integer(UInt32.self).map(Int.init)
        default: break
        }
      }
    }
    return refusal
  }
}
