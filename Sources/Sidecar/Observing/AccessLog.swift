// One line of JSON per request on standard output. Lines are collected and written at the end of a step; when the reader
// does not keep up, lines are dropped and their number is said, for a log must not hold requests up.
import EventLoop
import Glibc
import HTTP1

final class AccessLog {
  private let loop: EventLoop
  private var lines: [UInt8] = []
  private var isScheduled = false
  private var dropped = 0
  private static let limit = 1 << 20

  init(_ loop: EventLoop) { self.loop = loop }

  func note(_ exchange: Exchange, nanoseconds: UInt64) {
    guard lines.count < AccessLog.limit else {
      dropped += 1
      return
    }
    var line = "{\"direction\":\"\(exchange.service.direction.rawValue)\""
    line += ",\"service\":\(AccessLog.quote(exchange.service.name))"
    line += ",\"cluster\":\(AccessLog.quote(exchange.cluster?.configuration.name ?? ""))"
    line += ",\"endpoint\":\(AccessLog.quote(exchange.endpoint?.configuration.address.description ?? ""))"
    line +=
      ",\"method\":\(AccessLog.quote(exchange.head.methodName)),\"target\":\(AccessLog.quote(exchange.head.target))"
    line += ",\"status\":\(exchange.status),\"attempts\":\(exchange.attempts)"
    if let status = exchange.grpcStatus { line += ",\"grpcStatus\":\(status)" }
    line += ",\"microseconds\":\(nanoseconds / 1000)"
    line += ",\"bytesIn\":\(exchange.bytesToServer),\"bytesOut\":\(exchange.bytesToClient)"
    if let trace = exchange.head.fields.first("traceparent") { line += ",\"traceparent\":\(AccessLog.quote(trace))" }
    if !exchange.refusedBecause.isEmpty { line += ",\"refused\":\(AccessLog.quote(exchange.refusedBecause))" }
    lines.append(contentsOf: (line + "}\n").utf8)
    guard !isScheduled else { return }
    isScheduled = true
    loop.enqueue { [weak self] in self?.flush() }
  }

  private func flush() {
    isScheduled = false
    var ready = pollfd(fd: 1, events: Int16(POLLOUT), revents: 0)
    guard poll(&ready, 1, 0) == 1 else { return }
    if dropped > 0 {
      lines.append(contentsOf: "{\"dropped\":\(dropped)}\n".utf8)
      dropped = 0
    }
    // A pipe that is writable takes PIPE_BUF bytes without blocking, whole.
    let count = Glibc.write(1, lines, min(lines.count, 4096))
    if count > 0 { lines.removeSubrange(0..<count) }
    if lines.isEmpty { return }
    isScheduled = true
    loop.enqueue { [weak self] in self?.flush() }
  }

  static func quote(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      default:
        if scalar.value < 0x20 || scalar.value == 0x7F {
          let digits = String(scalar.value, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}
