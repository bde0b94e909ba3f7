import CLinux
import Foundation
import Synchronization

/// A real HTTP endpoint on the loopback: keeps each request whole and answers with the statuses it is given, one after the
/// other, the last one for ever.
final class HookReceiver: Sendable {
  struct Request: Sendable {
    var head: String
    var body: String

    func field(_ name: String) -> String? {
      head.split(separator: "\r\n").first { $0.lowercased().hasPrefix(name.lowercased() + ":") }
        .map { $0.drop { $0 != ":" }.dropFirst().trimmingCharacters(in: .whitespaces) }
    }
  }

  private struct State {
    var requests: [Request] = []
    var statuses: [Int]
  }

  let port: UInt16
  private let listener: Int32
  private let state: Mutex<State>

  init(_ statuses: [Int]) throws {
    state = Mutex(State(statuses: statuses))
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.listener = listener
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length) == 0 && listen(listener, 16) == 0
          && getsockname(listener, __SOCKADDR_ARG(__sockaddr__: $0), &length) == 0
      }
    }
    guard bound else { throw POSIXError(.EADDRINUSE) }
    port = UInt16(bigEndian: address.sin_port)
    let (descriptor, owner) = (listener, self)
    let thread = Thread {
      while true {
        let client = accept(descriptor, __SOCKADDR_ARG(__sockaddr__: nil), nil)
        if client < 0 { return }
        owner.serve(client)
        close(client)
      }
    }
    thread.start()
  }

  func stop() {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  var address: String { "http://127.0.0.1:\(port)/hook" }
  var requests: [Request] { state.withLock { $0.requests } }

  private func serve(_ client: Int32) {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let text = String(decoding: bytes, as: UTF8.self)
      if let end = text.range(of: "\r\n\r\n") {
        let request = Request(head: String(text[..<end.lowerBound]), body: String(text[end.upperBound...]))
        if request.body.utf8.count >= Int(request.field("content-length") ?? "0") ?? 0 {
          let status = state.withLock { state in
            state.requests.append(request)
            return state.statuses.count > 1 ? state.statuses.removeFirst() : state.statuses[0]
          }
          let answer = "HTTP/1.1 \(status) X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
          _ = answer.withCString { send(client, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
          return
        }
      }
      let count = recv(client, &chunk, chunk.count, 0)
      if count <= 0 { return }
      bytes += chunk[0..<count]
    }
  }
}
