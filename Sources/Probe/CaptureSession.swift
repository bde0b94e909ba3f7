import Capture
import EventLoop
import Glibc
import NetTypes

/// Packets between the rings and the output: they wait here until no older one can come.
final class CaptureSession {
  private let captures: CaptureSet
  private let merge: PacketMerge
  /// Of each target's interface, which tells directions.
  private let addresses: [MACAddress?]
  private let loop: EventLoop
  private let start = Tracer.realtime()
  /// Files are written, or lines to a descriptor.
  private let files: CaptureFiles?
  private let descriptor: Int32
  private var lines: [UInt8] = []
  private var failure: CaptureFileError?

  /// Twice what the kernel may hold a block back, ns.
  private static let reorderWindow = UInt64(2 * CaptureOptions.blockTimeout) * 1_000_000
  /// Beyond this many bytes the older half leaves early.
  private static let mostBytes = 64 << 20
  /// What is written at once, bytes.
  private static let chunk = 1 << 18

  init(_ captures: CaptureSet, _ files: CaptureFiles?, _ descriptor: Int32, _ loop: EventLoop) {
    self.captures = captures
    self.files = files
    self.descriptor = descriptor
    self.loop = loop
    merge = PacketMerge(interfaces: captures.targets.indices.map { files?.block($0) ?? $0 })
    addresses = captures.states.map(\.mac)
    flush()  // the headers: a reader of a pipe sees the interfaces at once
  }

  func poll() {
    captures.poll(milliseconds: 0) { take($0) }
    if merge.waiting > Self.mostBytes { release(before: 0, mostWaiting: Self.mostBytes / 2) }
  }

  private func take(_ frame: CapturedFrame) {
    let direction = addresses[frame.target].flatMap { Direction(frame.bytes, interface: $0) }
    merge.take(frame, direction ?? .foreign)
  }

  /// Written at once: packets wait for `reorderWindow`, so keys come before what they decrypt.
  func take(keys lines: [UInt8]) { files?.append(tlsKeys: lines) }

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
      text += "\(target.name): \(merge.packets(index)) packets, \(counters[index]?.dropped ?? 0) dropped\n"
    }
    let total = captures.targets.indices.reduce(0) { $0 + merge.packets($1) }
    return text + "\(total) packets captured\n"
  }

  // MARK: Output

  private func release(before limit: UInt64, mostWaiting: Int = .max) {
    merge.release(before: limit, mostWaiting: mostWaiting) { target, time, block in
      guard failure == nil else { return }
      guard let files else {
        appendLine(target, time, block)
        if lines.count > Self.chunk { flush() }
        return
      }
      do throws(CaptureFileError) {
        if try files.append(target, time, block) > Self.chunk { flush() }
      } catch {
        fail(error)
      }
    }
    if failure == nil { flush() }
  }

  private func appendLine(_ target: Int, _ time: UInt64, _ block: PacketBlock) {
    let direction = addresses[target].flatMap { Direction(block.frame, interface: $0) } ?? .foreign
    let way =
      switch direction {
      case .inbound: "in"
      case .outbound: "out"
      case .foreign: "-"
      }
    let packet = Packet(block.frame, wireLength: block.wireLength)
    let text = packet?.line(wireLength: block.wireLength) ?? "cut frame, length \(block.wireLength)"
    lines += "\(timeOfDay(time)) \(captures.targets[target].name) \(way) \(text)\n".utf8
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
