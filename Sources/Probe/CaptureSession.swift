import Capture
import EventLoop
import Glibc
import NetTypes

/// Packets between the rings and the output: they wait here until no older one can come.
final class CaptureSession {
  private struct Waiting {
    var time: UInt64
    var target: Int
    var wireLength: Int
    var place: Range<Int>
  }

  private let captures: CaptureSet
  private let loop: EventLoop
  private let start = Tracer.realtime()
  /// Files are written, or lines to a descriptor.
  private let files: CaptureFiles?
  private let descriptor: Int32
  private var lines: [UInt8] = []
  private var bytes: [UInt8] = []
  private var waiting: [Waiting] = []
  private var counts: [UInt64]
  private var failure: CaptureFileError?

  /// Twice what the kernel may hold a block back, ns.
  private static let reorderWindow = UInt64(2 * CaptureOptions.blockTimeout) * 1_000_000
  /// Beyond this many bytes the older half leaves early.
  private static let mostBytes = 64 << 20

  init(_ captures: CaptureSet, _ files: CaptureFiles?, _ descriptor: Int32, _ loop: EventLoop) {
    self.captures = captures
    self.files = files
    self.descriptor = descriptor
    self.loop = loop
    counts = Array(repeating: 0, count: captures.targets.count)
    flush()  // the headers: a reader of a pipe sees the interfaces at once
  }

  func poll() {
    captures.poll(milliseconds: 0) { take($0) }
    guard bytes.count > Self.mostBytes, !waiting.isEmpty else { return }
    let times = waiting.map(\.time).sorted()
    release(before: times[times.count / 2])
  }

  private func take(_ frame: CapturedFrame) {
    let start = bytes.count
    bytes.append(contentsOf: frame.bytes)
    waiting.append(
      Waiting(time: frame.time, target: frame.target, wireLength: frame.wireLength, place: start..<bytes.count))
    counts[frame.target] += 1
  }

  func scheduleRelease() {
    loop.after(EventLoop.milliseconds(50)) { [weak self] in
      guard let self else { return }
      release(before: Tracer.realtime() - Self.reorderWindow)
      scheduleRelease()
    }
  }

  func readerLeft() {
    failure = failure ?? CaptureFileError(code: EPIPE)
    loop.stop()
  }

  /// Takes what the kernel still holds back, writes everything and the counters.
  /// - Returns: what went wrong with the output, at any time.
  func finish() -> CaptureFileError? {
    let end = Tracer.realtime()
    if failure == nil {
      // The last blocks are handed over within the block time.
      let limit = EventLoop.clock() + UInt64(CaptureOptions.blockTimeout + 20) * 1_000_000
      while case let now = EventLoop.clock(), now < limit {
        captures.poll(milliseconds: Int32((limit - now) / 1_000_000) + 1) { if $0.time <= end { take($0) } }
      }
    }
    captures.drain { if $0.time <= end { take($0) } }
    release(before: .max)
    let counters = captures.statistics()
    for (target, counter) in counters.enumerated() {
      guard let counter else { continue }
      files?.append(statistics: counter, interface: target, start: start, end: end)
    }
    flush()
    return failure
  }

  var summary: String {
    let counters = captures.statistics()
    var text = ""
    for (index, target) in captures.targets.enumerated() {
      guard captures.states[index].mac != nil else { continue }
      text += "\(target.name): \(counts[index]) packets, \(counters[index]?.dropped ?? 0) dropped\n"
    }
    return text + "\(counts.reduce(0, +)) packets captured\n"
  }

  // MARK: Output

  private func release(before limit: UInt64) {
    guard failure == nil else {
      waiting.removeAll()
      bytes.removeAll()
      return
    }
    waiting.sort { $0.time < $1.time }
    let count = waiting.firstIndex { $0.time >= limit } ?? waiting.count
    guard count > 0 else { return flush() }
    for entry in waiting[0..<count] { write(entry) }
    flush()
    let rest = waiting[count...]
    var kept: [UInt8] = []
    waiting = rest.map { entry in
      var moved = entry
      let start = kept.count
      kept.append(contentsOf: bytes[entry.place])
      moved.place = start..<kept.count
      return moved
    }
    bytes = kept
  }

  private func write(_ entry: Waiting) {
    bytes.withUnsafeBytes { all in
      let frame = UnsafeRawBufferPointer(rebasing: all[entry.place])
      let packet = Packet(frame, wireLength: entry.wireLength)
      let direction = packet.map { captures.states[entry.target].direction($0) } ?? .foreign
      guard let files else { return appendLine(entry, packet, direction) }
      do throws(CaptureFileError) {
        try files.append(
          interface: entry.target, time: entry.time, wireLength: entry.wireLength, frame, direction: direction)
      } catch {
        fail(error)
      }
    }
    if files?.pending ?? lines.count > 1 << 20 { flush() }
  }

  private func appendLine(_ entry: Waiting, _ packet: Packet?, _ direction: Direction) {
    let way =
      switch direction {
      case .inbound: "in"
      case .outbound: "out"
      case .foreign: "-"
      }
    let text = packet?.line(wireLength: entry.wireLength) ?? "cut frame, length \(entry.wireLength)"
    lines += "\(timeOfDay(entry.time)) \(captures.targets[entry.target].name) \(way) \(text)\n".utf8
  }

  private func flush() {
    do throws(CaptureFileError) {
      if let files {
        try files.flush()
      } else {
        let text = lines
        lines.removeAll(keepingCapacity: true)
        do throws(SystemError) {
          try SmallFile.writeAll(descriptor, text)
        } catch {
          throw CaptureFileError(code: error.code)
        }
      }
    } catch {
      fail(error)
    }
  }

  private func fail(_ error: CaptureFileError) {
    failure = failure ?? error
    loop.stop()
  }
}

/// Local time of day with microseconds.
private func timeOfDay(_ nanoseconds: UInt64) -> String {
  var seconds = time_t(nanoseconds / 1_000_000_000)
  var parts = tm()
  localtime_r(&seconds, &parts)
  let digits = { (value: Int, width: Int) in
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }
  let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { digits(Int($0), 2) }.joined(separator: ":")
  return clock + "." + digits(Int(nanoseconds % 1_000_000_000 / 1000), 6)
}
