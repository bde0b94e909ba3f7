import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof

/// Answers a trace's own traffic where nobody listens on the port: echoes each nonce with the direction byte turned.
/// It exists for the time of one trace.
final class Responder {
  private let isStream: Bool
  private let listener: FileDescriptor
  private var streams: [Stream] = []

  private struct Stream {
    var file: Int32
    var received: [UInt8] = []
  }

  /// Nil when somebody listens there already.
  static func open(
    _ kind: TracedFlow.Kind, _ namespace: String, _ address: IPAddress, _ port: UInt16
  ) throws(SystemError) -> Responder? {
    do {
      let file = try ProbeSocket.inside(namespace) { () throws(SystemError) -> FileDescriptor in
        let file = try ProbeSocket.make(address.family, kind == .tcp ? SOCK_STREAM : SOCK_DGRAM)
        if kind == .tcp { try ProbeSocket.set(file.rawValue, SOL_SOCKET, SO_REUSEADDR, 1) }
        try ProbeSocket.bind(file.rawValue, address, port)
        let raw = file.rawValue
        if kind == .tcp { try systemCall("listen") { listen(raw, 1024) } }
        return file
      }
      return Responder(isStream: kind == .tcp, file)
    } catch  where error.code == EADDRINUSE {
      return nil
    }
  }

  private init(isStream: Bool, _ listener: consuming FileDescriptor) {
    self.isStream = isStream
    self.listener = listener
  }

  deinit { for stream in streams { _ = close(stream.file) } }

  var descriptors: [pollfd] {
    ([listener.rawValue] + streams.map(\.file)).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
  }

  /// Every connection it accepted has ended.
  var isIdle: Bool { streams.isEmpty }

  /// Answers what has come.
  func step() {
    guard isStream else { return answerDatagrams() }
    while let file = try? UnixSocket.accept(listener.rawValue) { streams.append(Stream(file: file.release())) }
    for index in streams.indices { answer(&streams[index]) }
    streams.removeAll { $0.file < 0 }
  }

  private func answerDatagrams() {
    while let (bytes, sender) = try? ProbeSocket.receiveFrom(listener.rawValue) {
      guard let answer = Self.answer(bytes) else { continue }
      try? ProbeSocket.reply(listener.rawValue, answer, to: sender)
    }
  }

  private func answer(_ stream: inout Stream) {
    while let bytes = try? ProbeSocket.receive(stream.file), !bytes.isEmpty {
      stream.received += bytes
      guard let answer = Self.answer(stream.received) else { continue }
      stream.received = []
      try? ProbeSocket.send(stream.file, answer)
    }
    // The loop ends for want of bytes, at the end of the stream, or by an error; only the first leaves it open.
    var probe: UInt8 = 0
    if recv(stream.file, &probe, 1, Int32(MSG_PEEK)) < 0, errno == EAGAIN || errno == EINTR { return }
    _ = close(stream.file)
    stream.file = -1
  }

  /// The nonce with the direction turned; nil unless it is one of a forward probe.
  private static func answer(_ bytes: [UInt8]) -> [UInt8]? {
    guard bytes.count == ProbeIdentity.nonceLength + 1, bytes.last == Way.forward.rawValue else { return nil }
    return bytes.dropLast() + [Way.back.rawValue]
  }
}
