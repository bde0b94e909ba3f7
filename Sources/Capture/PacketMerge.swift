/// Packets of many interfaces on their way from the rings to a file, merged by time.
///
/// Each interface's packets come in order, so they wait as a run of finished pcapng blocks: a packet is encoded once,
/// when it is taken, and copied once, when it leaves. Between interfaces a heap picks the oldest.
public final class PacketMerge {
  /// A run's records: time (8 bytes), length of the block (8), the block.
  private struct Run: ~Copyable {
    var records = BlockBuffer(capacity: 4096)
    /// Of the oldest record that is still here.
    var head = 0
    var interface: UInt32
    var packets: UInt64 = 0

    init(interface: UInt32) { self.interface = interface }

    var isEmpty: Bool { head == records.count }
    var time: UInt64 { records.bytes.loadUnaligned(fromByteOffset: head, as: UInt64.self) }

    /// Room for a record: the front first, where most of it is free.
    mutating func makeRoom(_ size: Int) {
      if head == records.count {
        records.removeAll()
        head = 0
      } else if records.room < size, head > records.count / 2 {
        records.removeFirst(head)
        head = 0
      }
    }
  }

  private struct Front {
    var time: UInt64
    var run: Int
  }

  private static let recordHeader = 16
  private let runs: UnsafeMutablePointer<Run>
  private let count: Int
  private var fronts: [Front] = []
  /// Bytes that wait.
  public private(set) var waiting = 0

  /// - Parameter interfaces: the number of each run's interface block in its file.
  public init(interfaces: [Int]) {
    count = interfaces.count
    runs = .allocate(capacity: max(1, count))
    for index in interfaces.indices { (runs + index).initialize(to: Run(interface: UInt32(interfaces[index]))) }
  }

  deinit {
    runs.deinitialize(count: count)
    runs.deallocate()
  }

  /// How many packets of a run were taken, ever.
  public func packets(_ run: Int) -> UInt64 { runs[run].packets }

  /// Adds the next packet of an interface.
  public func take(_ frame: CapturedFrame, _ direction: Direction) {
    let run = runs + frame.target
    run.pointee.makeRoom(Self.recordHeader + PcapngBlock.packetHeader + frame.bytes.count + 20)
    let place = run.pointee.records.count
    run.pointee.records.append64(frame.time)
    run.pointee.records.append64(0)
    let length = run.pointee.records.packet(
      interface: run.pointee.interface, time: frame.time, wireLength: frame.wireLength, frame.bytes, direction)
    run.pointee.records.patch(place + 8, UInt64(length))
    run.pointee.packets += 1
    waiting += length
  }

  /// Hands over, oldest first, what is older than `limit`, and beyond that as much as leaves no more than `mostWaiting` bytes.
  public func release(before limit: UInt64, mostWaiting: Int = .max, _ body: (Int, UInt64, PacketBlock) -> Void) {
    fronts.removeAll(keepingCapacity: true)
    for run in 0..<count where !runs[run].isEmpty { fronts.append(Front(time: runs[run].time, run: run)) }
    for place in stride(from: fronts.count / 2 - 1, through: 0, by: -1) { sift(place) }
    while let front = fronts.first, front.time < limit || waiting > mostWaiting {
      let run = runs + front.run
      let length = Int(run.pointee.records.bytes.loadUnaligned(fromByteOffset: run.pointee.head + 8, as: UInt64.self))
      let start = run.pointee.head + Self.recordHeader
      body(
        front.run, front.time,
        PacketBlock(bytes: UnsafeRawBufferPointer(rebasing: run.pointee.records.bytes[start..<start + length])))
      run.pointee.head = start + length
      waiting -= length
      if run.pointee.isEmpty {
        fronts[0] = fronts[fronts.count - 1]
        fronts.removeLast()
      } else {
        fronts[0].time = run.pointee.time
      }
      sift(0)
    }
  }

  private func sift(_ start: Int) {
    fronts.withUnsafeMutableBufferPointer { heap in
      guard start < heap.count else { return }
      let moving = heap[start]
      var place = start
      while case var child = 2 * place + 1, child < heap.count {
        if child + 1 < heap.count, Self.isBefore(heap[child + 1], heap[child]) { child += 1 }
        guard Self.isBefore(heap[child], moving) else { break }
        heap[place] = heap[child]
        place = child
      }
      heap[place] = moving
    }
  }

  /// At the same time by the number of the interface, so that the order is the same each time.
  private static func isBefore(_ one: Front, _ other: Front) -> Bool {
    one.time < other.time || one.time == other.time && one.run < other.run
  }
}

/// An enhanced packet block that waits in a merge; valid during the call that passes it.
public struct PacketBlock {
  public let bytes: UnsafeRawBufferPointer

  /// Length on the wire.
  public var wireLength: Int { Int(bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self)) }

  /// What was captured of the frame.
  public var frame: UnsafeRawBufferPointer {
    let length = Int(bytes.loadUnaligned(fromByteOffset: 20, as: UInt32.self))
    return UnsafeRawBufferPointer(rebasing: bytes[PcapngBlock.packetHeader..<PcapngBlock.packetHeader + length])
  }
}
