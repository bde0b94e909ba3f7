// The TLS key log of one sidecar while a capture runs: `GET /keylog` on its private socket. What stood before the capture
// has no key here.
import CLinux
import EventLoop
import Glibc

final class KeyLogReader {
  private let path: String
  private let loop: EventLoop
  private let descriptor: Int32
  private var bytes: [UInt8] = []
  private var headEnded = false
  private(set) var count = 0
  private let take: ([UInt8]) -> Void

  /// How long the sidecar may take to answer, ms.
  private static let patience: Int32 = 1000

  /// Connects, and waits until the sidecar has begun.
  /// - Parameter take: whole lines, each with its end.
  init(_ path: String, _ loop: EventLoop, _ take: @escaping ([UInt8]) -> Void) throws(SystemError) {
    self.path = path
    self.loop = loop
    self.take = take
    let socket = try UnixSocket.connect(path)
    let raw = socket.rawValue
    let request = Array("GET /keylog HTTP/1.1\r\nHost: sidecar\r\n\r\n".utf8)
    _ = try systemCall("write", path) { Glibc.write(raw, request, request.count) }
    var waiting = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
    guard poll(&waiting, 1, Self.patience) == 1 else { throw SystemError("read \(path)", ETIMEDOUT) }
    descriptor = socket.release()
    do throws(SystemError) {
      try loop.register(descriptor, .read) { [weak self] _ in self?.read() }
    } catch {
      _ = close(descriptor)
      throw error
    }
  }

  deinit { _ = close(descriptor) }

  /// What has arrived by now.
  func read() {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let got = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if got < 0, errno == EINTR { continue }
      if got <= 0 {
        if got == 0 || errno != EAGAIN { loop.unregister(descriptor) }
        return pass()
      }
      bytes += buffer[0..<got]
    }
  }

  private func pass() {
    if !headEnded {
      let end = Array("\r\n\r\n".utf8)
      guard let start = bytes.indices.dropLast(3).first(where: { bytes[$0..<($0 + 4)].elementsEqual(end) }) else {
        return
      }
      bytes.removeFirst(start + 4)
      headEnded = true
    }
    guard let last = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return }
    // A sidecar that had no room for lines says so in JSON.
    let lines = bytes[...last].split(separator: UInt8(ascii: "\n")).filter { $0.first != UInt8(ascii: "{") }
    bytes.removeFirst(last + 1)
    count += lines.count
    if !lines.isEmpty { take(Array(lines.joined(separator: [UInt8(ascii: "\n")])) + [UInt8(ascii: "\n")]) }
  }
}
