import CLinux
import Foundation
import Synchronization

/// A blocking TCP connection over loopback, for both ends of a test. A read or write that takes ten seconds fails.
final class Peer: Sendable {
  let descriptor: Int32
  private let buffered = Mutex<[UInt8]>([])

  /// What must live as long as the connection: the sidecar that it goes through.
  private let kept: (any Sendable)?

  init(_ descriptor: Int32, keeping kept: (any Sendable)? = nil) {
    self.descriptor = descriptor
    self.kept = kept
    var time = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    var one: Int32 = 1
    setsockopt(descriptor, 6, 1, &one, 4)  // TCP_NODELAY
  }

  deinit { Glibc.close(descriptor) }

  static func connect(_ port: UInt16, receiveBuffer: Int32 = 0, keeping: (any Sendable)? = nil) throws -> Peer {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    if receiveBuffer > 0 {
      var size = receiveBuffer
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4)
    }
    var address = loopback(port)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, __CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else {
      let code = errno
      Glibc.close(descriptor)
      throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO)
    }
    return Peer(descriptor, keeping: keeping)
  }

  static func loopback(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
  }

  /// - Returns: nil at the end of the stream, and after a reset.
  func read(_ most: Int = 65536) -> [UInt8]? {
    let waiting = buffered.withLock { bytes in
      let taken = Array(bytes.prefix(most))
      bytes.removeFirst(taken.count)
      return taken
    }
    if !waiting.isEmpty { return waiting }
    var bytes = [UInt8](repeating: 0, count: most)
    let count = recv(descriptor, &bytes, most, 0)
    return count > 0 ? Array(bytes[0..<count]) : nil
  }

  /// The code of the failed read; 0 at the orderly end.
  func readError() -> Int32 {
    var byte: UInt8 = 0
    while true {
      let count = recv(descriptor, &byte, 1, 0)
      if count == 0 { return 0 }
      if count < 0 { return errno }
    }
  }

  func readAll() -> String {
    var all: [UInt8] = []
    while let bytes = read() { all += bytes }
    return String(decoding: all, as: UTF8.self)
  }

  /// Up to and with the marker; nil when the stream ends before.
  func read(until marker: String) -> String? {
    var all: [UInt8] = []
    let wanted = Array(marker.utf8)
    while true {
      guard let byte = read(4096) else { return nil }
      all += byte
      if let end = Peer.find(wanted, all) {
        let rest = Array(all[end...])
        buffered.withLock { $0 = rest + $0 }
        return String(decoding: all[..<end], as: UTF8.self)
      }
    }
  }

  private static func find(_ wanted: [UInt8], _ all: [UInt8]) -> Int? {
    guard all.count >= wanted.count else { return nil }
    for start in 0...(all.count - wanted.count) where all[start..<(start + wanted.count)].elementsEqual(wanted) {
      return start + wanted.count
    }
    return nil
  }

  func read(exactly count: Int) -> String? {
    var all: [UInt8] = []
    while all.count < count {
      guard let bytes = read(count - all.count) else { return nil }
      all += bytes
    }
    return String(decoding: all, as: UTF8.self)
  }

  @discardableResult
  func write(_ text: String) -> Bool { write(Array(text.utf8)) }

  @discardableResult
  func write(_ bytes: [UInt8]) -> Bool {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        send(descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return false }
      done += count
    }
    return true
  }

  func endWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// The connection ends by a reset when this is closed.
  func resetOnClose() {
    var now = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
  }

  func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}

/// A server with a thread per connection.
final class Origin: Sendable {
  let port: UInt16
  private let listener: Int32
  private let connections = Mutex(0)

  /// How many connections it has accepted.
  var accepted: Int { connections.withLock { $0 } }

  init(_ serve: @escaping @Sendable (Peer) -> Void) {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.listener = listener
    var address = Peer.loopback(0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = bind(listener, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
        _ = listen(listener, 1024)
        _ = getsockname(listener, __SOCKADDR_ARG(__sockaddr__: $0), &length)
      }
    }
    port = UInt16(bigEndian: address.sin_port)
    Thread { [self] in
      while true {
        let descriptor = accept(listener, __SOCKADDR_ARG(), nil)
        if descriptor < 0 { return }
        connections.withLock { $0 += 1 }
        Thread { serve(Peer(descriptor)) }.start()
      }
    }.start()
  }

  /// Answers requests of HTTP/1.1 one after the other.
  static func http(_ answer: @escaping @Sendable (_ head: String, _ body: String) -> String) -> Origin {
    Origin { peer in
      while let head = peer.read(until: "\r\n\r\n") {
        var body = ""
        if let length = Origin.field("content-length", head).flatMap({ Int($0) }) {
          guard let bytes = peer.read(exactly: length) else { return }
          body = bytes
        } else if Origin.field("transfer-encoding", head) != nil {
          guard let chunks = peer.read(until: "0\r\n\r\n") else { return }
          body = chunks
        }
        let response = answer(head, body)
        guard !response.isEmpty, peer.write(response) else { return }
      }
    }
  }

  static func field(_ name: String, _ head: String) -> String? {
    for line in head.components(separatedBy: "\r\n").dropFirst() {
      guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == name else { continue }
      return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    return nil
  }

  /// A port where nobody listens.
  static func closedPort() -> UInt16 {
    let origin = Origin { _ in }
    origin.stop()
    return origin.port
  }

  func stop() {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }
}

func response(_ body: String, status: String = "200 OK", fields: String = "") -> String {
  "HTTP/1.1 \(status)\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
}
