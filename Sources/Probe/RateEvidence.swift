import Capture
import EventLoop
import Glibc
import NetTypes
import PathProof

/// The headers of a rate run's first packets, for its capture file.
struct RateEvidence {
  private struct Entry {
    var time: UInt64
    var target: Int
    var wireLength: Int
    var place: Range<Int>
  }

  private let start: UInt64
  private var bytes: [UInt8] = []
  private var entries: [Entry] = []

  private static let mostBytes = 48 << 20

  init(_ start: UInt64) { self.start = start }

  mutating func keep(_ frame: CapturedFrame) {
    guard bytes.count < Self.mostBytes else { return }
    let begin = bytes.count
    bytes.append(contentsOf: frame.bytes)
    entries.append(
      Entry(time: frame.time, target: frame.target, wireLength: frame.wireLength, place: begin..<bytes.count))
  }

  func write(
    _ path: String, _ captures: FlowCapture, _ filter: FlowFilter, comment: String, snapLength: Int
  ) throws {
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    let opened = captures.targets.indices.filter { captures.states[$0] != .down && captures.states[$0] != .absent }
    var blocks = [Int](repeating: -1, count: captures.targets.count)
    for (block, target) in opened.enumerated() { blocks[target] = block }
    let kept = bytes.count < Self.mostBytes ? "" : " (the first \(entries.count) packets)"
    var writer = PcapngWriter(
      file.rawValue, PcapngSection(application: "netloom-probe", comment: comment + kept),
      opened.map { index in
        let target = captures.targets[index]
        return PcapngWriter.Interface(
          name: target.name, description: target.description, filter: filter.text, mac: captures.states[index].mac,
          snapLength: snapLength)
      })
    for entry in entries.sorted(by: { $0.time < $1.time }) {
      bytes.withUnsafeBytes { all in
        let frame = UnsafeRawBufferPointer(rebasing: all[entry.place])
        let direction = Packet(frame, wireLength: entry.wireLength).map { captures.states[entry.target].direction($0) }
        writer.append(
          interface: blocks[entry.target], time: entry.time, wireLength: entry.wireLength, frame,
          direction: direction ?? .foreign)
      }
      if writer.pending > 1 << 20 { try writer.flush() }
    }
    let end = Tracer.realtime()
    let counters = captures.statistics
    for (block, target) in opened.enumerated() {
      guard let counter = counters[target] else { continue }
      writer.append(statistics: counter, interface: block, start: start, end: end)
    }
    try writer.flush()
  }
}
