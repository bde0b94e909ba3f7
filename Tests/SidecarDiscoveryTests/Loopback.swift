import CLinux
import EventLoop
import Foundation
import Synchronization

/// Blocking TCP over 127.0.0.0/8 for both ends of a test. A read that takes ten seconds fails.
final class Peer: Sendable {
  let descriptor: Int32
  private let rest = Mutex<[UInt8]>([])

  init(_ descriptor: Int32) {
    self.descriptor = descriptor
    var time = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { Glibc.close(descriptor) }

  static func connect(_ address: String, _ port: UInt16) throws -> Peer {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var target = socketAddress(address, port)
    let result = withUnsafePointer(to: &target) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, __CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else {
      let code = errno
      Glibc.close(descriptor)
      throw SystemError("connect", code, "\(address):\(port)")
    }
    return Peer(descriptor)
  }

  static func socketAddress(_ text: String, _ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    inet_pton(AF_INET, text, &address.sin_addr)
    return address
  }

  func write(_ text: String) {
    let bytes = Array(text.utf8)
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        send(descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return }
      done += count
    }
  }

  /// Up to and with the marker; what came before the end where it never comes.
  func read(until marker: String) -> String {
    let wanted = Array(marker.utf8)
    var all = rest.withLock { bytes in
      defer { bytes = [] }
      return bytes
    }
    while true {
      if let end = Self.end(of: wanted, in: all) {
        let left = Array(all[end...])
        rest.withLock { $0 = left }
        return String(decoding: all[..<end], as: UTF8.self)
      }
      var bytes = [UInt8](repeating: 0, count: 16384)
      let count = recv(descriptor, &bytes, bytes.count, 0)
      if count <= 0 { return String(decoding: all, as: UTF8.self) }
      all += bytes[0..<count]
    }
  }

  private static func end(of wanted: [UInt8], in all: [UInt8]) -> Int? {
    guard all.count >= wanted.count, !wanted.isEmpty else { return nil }
    for start in 0...(all.count - wanted.count) where all[start..<(start + wanted.count)].elementsEqual(wanted) {
      return start + wanted.count
    }
    return nil
  }

  /// One request on this connection, and its response.
  func get(_ path: String = "/") -> Answer {
    write("GET \(path) HTTP/1.1\r\nHost: web\r\n\r\n")
    let head = read(until: "\r\n\r\n")
    let length = Answer(head: head, body: "").field("content-length").flatMap { Int($0) } ?? 0
    var body = ""
    if length > 0 {
      // Bodies of these tests end with a line's end and have no other.
      body = read(until: "\n")
    }
    return Answer(head: head, body: body)
  }
}

struct Answer {
  let head: String
  let body: String

  var status: Int { Int(head.split(separator: " ").dropFirst().first ?? "") ?? 0 }

  func field(_ name: String) -> String? {
    for line in head.components(separatedBy: "\r\n").dropFirst() {
      guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == name else { continue }
      return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    return nil
  }
}

/// The application behind sidecars: answers each request with its path, on a thread per connection.
final class Origin: Sendable {
  let port: UInt16
  private let listener: Int32
  private let heads = Mutex<[String]>([])

  /// Of all requests so far.
  var requests: [String] { heads.withLock { $0 } }

  init(_ address: String = "127.0.0.1", port wanted: UInt16 = 0) {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    self.listener = listener
    var place = Peer.socketAddress(address, wanted)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = bind(listener, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
        _ = listen(listener, 1024)
        _ = getsockname(listener, __SOCKADDR_ARG(__sockaddr__: $0), &length)
      }
    }
    port = UInt16(bigEndian: place.sin_port)
    Thread { [weak self] in
      while true {
        let descriptor = accept(listener, __SOCKADDR_ARG(), nil)
        guard descriptor >= 0 else { return }
        guard let self else {
          close(descriptor)
          return
        }
        Thread { self.serve(Peer(descriptor)) }.start()
      }
    }.start()
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  private func serve(_ peer: Peer) {
    while true {
      let head = peer.read(until: "\r\n\r\n")
      guard head.hasSuffix("\r\n\r\n") else { return }
      heads.withLock { $0.append(head) }
      let body = "\(head.split(separator: " ").dropFirst().first ?? "")\n"
      peer.write("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }
  }
}
