// The packets of every flow that crosses a lab, as they are captured, in bounded memory.
//
// A flow is counted whole and followed by some of its packets: by all of them while they are few, and by fewer the more
// there are (LiveRecord.keeps), the same ones on every interface. So a table holds at most some hundred thousand sightings
// whatever passes. Flows beyond the limit are counted, not followed. Nothing is judged here: that is LiveProver's.
import Capture
public import NetTypes

public struct LiveFlowTable: Sendable {
  struct Entry {
    /// By way: forward, back.
    var ways = [Line(), Line()]
    subscript(way: Way) -> Line {
      get { ways[Int(way.rawValue)] }
      set { ways[Int(way.rawValue)] = newValue }
    }
  }

  /// One direction of a flow.
  struct Line {
    var records: [LiveRecord] = []
    var level: UInt8 = 0
    var first: UInt64?
    var begins = false
    /// Frames' bytes by interface, of those that left by it.
    var left: [Int: UInt64] = [:]
    /// The same of those that arrived.
    var arrived: [Int: UInt64] = [:]
  }

  /// Packets read.
  public private(set) var captured: UInt64 = 0
  /// Packets that belong to no flow.
  public private(set) var notOurs: UInt64 = 0
  private(set) var entries: [LiveTuple: Entry] = [:]
  private let addresses: [MACAddress?]
  private let mostEntries: Int
  private var kept = 0
  private var beyond = DistinctCounter()

  /// Sightings of all flows together, and of one direction of one.
  private static let mostRecords = 400_000
  private static let share = 64...2048

  /// - Parameters:
  ///   - addresses: of the captured interfaces, by index; nil: it is not captured.
  ///   - limit: tuples that are followed; a translated flow has one more for each translation.
  public init(addresses: [MACAddress?], limit: Int) {
    self.addresses = addresses
    mostEntries = limit
  }

  /// Flows for which there was no room.
  public var flowsOverLimit: Int { beyond.count }

  /// A frame as it was captured, on the interface with this index.
  public mutating func take(_ bytes: UnsafeRawBufferPointer, wireLength: Int, interface: Int, time: UInt64) {
    captured += 1
    guard let mac = addresses[interface], let packet = Packet(bytes, wireLength: wireLength) else {
      return notOurs += 1
    }
    let direction = Direction(destination: packet.destinationMAC, source: packet.sourceMAC, interface: mac)
    guard direction != .foreign, let ip = packet.ip, let live = LivePacket(packet, bytes) else {
      return notOurs += 1
    }
    guard entries[live.tuple] != nil || entries.count < mostEntries else { return beyond.add(live.tuple.hashValue) }
    let record = LiveRecord(
      content: live.content, interface: interface, outbound: direction == .outbound, time: time, ttl: ip.ttl,
      frame: .init(source: packet.sourceMAC, destination: packet.destinationMAC))
    let most = min(max(Self.mostRecords / (2 * entries.count + 2), Self.share.lowerBound), Self.share.upperBound)
    let change = entries[live.tuple, default: Entry()][live.way].take(
      record, bytes: UInt64(wireLength), begins: live.begins, most: most)
    kept += change
    if kept > Self.mostRecords + Self.mostRecords / 4 { shrink(most / 2) }
  }

  /// Flows that took their share when there were few.
  private mutating func shrink(_ most: Int) {
    for tuple in entries.keys {
      for way in [Way.forward, .back] { kept += entries[tuple]?[way].thin(to: max(most, 16)) ?? 0 }
    }
  }
}

extension LiveFlowTable.Line {
  /// - Returns: how many records more it holds.
  fileprivate mutating func take(_ record: LiveRecord, bytes: UInt64, begins: Bool, most: Int) -> Int {
    first = min(first ?? record.time, record.time)
    self.begins = self.begins || begins
    if record.outbound {
      left[record.interface, default: 0] += bytes
    } else {
      arrived[record.interface, default: 0] += bytes
    }
    guard LiveRecord.keeps(record.content, level) else { return 0 }
    records.append(record)
    return 1 + (records.count > most ? thin(to: most / 2) : 0)
  }

  /// - Returns: how many records more it holds: none, or fewer.
  fileprivate mutating func thin(to most: Int) -> Int {
    let before = records.count
    while records.count > most, level < LiveRecord.deepest {
      level += 1
      let next = level
      records.removeAll { !LiveRecord.keeps($0.content, next) }
    }
    return records.count - before
  }
}

/// How many different values there were, by a bit for each of a million places they may hash to.
private struct DistinctCounter: Sendable {
  private var bits = [UInt64](repeating: 0, count: 1 << 14)
  private(set) var count = 0

  mutating func add(_ hash: Int) {
    let place = Int(truncatingIfNeeded: UInt(bitPattern: hash) % UInt(bits.count * 64))
    guard bits[place / 64] >> UInt64(place % 64) & 1 == 0 else { return }
    bits[place / 64] |= 1 << UInt64(place % 64)
    count += 1
  }
}
