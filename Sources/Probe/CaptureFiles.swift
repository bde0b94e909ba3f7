// The pcapng files of one capture: one for all interfaces, or one for each; one for the whole time, or a series of them.
//
// A capture into a pipe or into a descriptor that the user opened is a single file. Series and files by interface are
// made here, in a folder that the user opened: the probe runs in the lab, where the user's paths mean nothing. A series
// is STEM-00001.pcapng and so on; `keep` takes the oldest away. Every file is whole in itself: section, interfaces,
// packets in order of time. The kernel's counters, which begin with the capture, close the last file of a series.
import Capture
import CLinux
import EventLoop
import Glibc

/// What becomes of the packets, as asked for.
struct CaptureFilePlan {
  /// A folder's descriptor, and what the names in it begin with.
  var folder: Int32?
  var stem = ""
  var isSplit = false
  /// It will hold keys: nobody else may read it.
  var isSecret = false
  /// A file ends before it would be longer than this; 0: no limit.
  var mostBytes: UInt64 = 0
  /// A file ends when its packets cover this time, ns; 0: no limit.
  var mostTime: UInt64 = 0
  /// Files of a series that stay; 0: all.
  var keep = 0

  var isSeries: Bool { mostBytes > 0 || mostTime > 0 }
}

final class CaptureFiles {
  private let plan: CaptureFilePlan
  private let interfaces: [PcapngWriter.Interface]
  private var series: [FileSeries]

  /// - Parameter descriptor: of the single file, where there is no folder; it stays the caller's.
  init(_ plan: CaptureFilePlan, _ descriptor: Int32, _ interfaces: [PcapngWriter.Interface]) throws(CaptureFileError) {
    self.plan = plan
    self.interfaces = interfaces
    series =
      plan.isSplit
      ? interfaces.map { FileSeries(plan, "\(plan.stem)-\(FileSeries.fileName($0.name))", [$0]) }
      : [FileSeries(plan, plan.stem, interfaces)]
    for index in series.indices { try series[index].open(plan.folder == nil ? descriptor : nil) }
  }

  /// The number of a target's interface block in its file.
  func block(_ target: Int) -> Int { plan.isSplit ? 0 : target }

  /// - Returns: the bytes that wait for `flush` in that file.
  func append(_ target: Int, _ time: UInt64, _ block: PacketBlock) throws(CaptureFileError) -> Int {
    try series[plan.isSplit ? target : 0].append(time, block)
  }

  /// To every file, and to those that follow.
  func append(tlsKeys lines: [UInt8]) { for one in series { one.append(tlsKeys: lines) } }

  func append(statistics: CaptureStatistics, interface: Int, start: UInt64, end: UInt64) {
    series[plan.isSplit ? interface : 0].append(statistics, block(interface), start, end)
  }

  /// Every file, whatever becomes of the others.
  func flush() throws(CaptureFileError) {
    var failure: CaptureFileError?
    for index in series.indices {
      do throws(CaptureFileError) { try series[index].flush() } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
  }
}

/// One file after the other of the same interfaces.
private final class FileSeries {
  private let plan: CaptureFilePlan
  private let stem: String
  private let interfaces: [PcapngWriter.Interface]
  private var writer: PcapngWriter?
  /// The file, where it is ours to close.
  private var file: FileDescriptor?
  private var number = 0
  private var written: UInt64 = 0
  private var firstTime: UInt64?
  private var names: [String] = []
  /// So far: later files of a series hold packets of connections that began before.
  private var keys: [UInt8] = []
  private static let mostKeys = 16 << 20

  init(_ plan: CaptureFilePlan, _ stem: String, _ interfaces: [PcapngWriter.Interface]) {
    self.plan = plan
    self.stem = stem
    self.interfaces = interfaces
  }

  /// Of an interface `NODE:IFACE`, as a part of a file's name; the kernel allows more in names of interfaces.
  static func fileName(_ name: String) -> String {
    String(name.map { $0.isLetter || $0.isNumber || "-_.".contains($0) ? $0 : "." })
  }

  var pending: Int { writer?.pending ?? 0 }

  /// - Parameter descriptor: nil: the next file of the folder.
  func open(_ descriptor: Int32?) throws(CaptureFileError) {
    let target = if let descriptor { descriptor } else { try create() }
    writer = PcapngWriter(target, PcapngSection(application: "netloom-probe"), interfaces)
    (written, firstTime) = (0, nil)
    if !keys.isEmpty { writer?.append(tlsKeys: keys) }
  }

  private func create() throws(CaptureFileError) -> Int32 {
    number += 1
    let digits = String(number)
    let counter = "-" + String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    let name = "\(stem)\(plan.isSeries ? counter : "").pcapng"
    let mode: mode_t = plan.isSecret ? 0o600 : 0o644
    let opened = openat(plan.folder ?? AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard opened >= 0 else { throw CaptureFileError(code: errno) }
    file = FileDescriptor(owning: opened)
    names.append(name)
    if plan.keep > 0, names.count > plan.keep { _ = unlinkat(plan.folder ?? AT_FDCWD, names.removeFirst(), 0) }
    return opened
  }

  func append(_ time: UInt64, _ block: PacketBlock) throws(CaptureFileError) -> Int {
    if isFull(at: time, block.bytes.count) {
      try flush()
      try open(nil)
    }
    if firstTime == nil { firstTime = time }
    writer?.append(block)
    return pending
  }

  /// A file has at least one packet, however small the limit.
  private func isFull(at time: UInt64, _ bytes: Int) -> Bool {
    guard plan.isSeries, let firstTime else { return false }
    if plan.mostTime > 0, time >= firstTime + plan.mostTime { return true }
    return plan.mostBytes > 0 && written + UInt64(pending + bytes) > plan.mostBytes
  }

  func append(tlsKeys lines: [UInt8]) {
    writer?.append(tlsKeys: lines)
    guard plan.isSeries, keys.count < Self.mostKeys else { return }
    keys += lines
  }

  func append(_ statistics: CaptureStatistics, _ block: Int, _ start: UInt64, _ end: UInt64) {
    writer?.append(statistics: statistics, interface: block, start: start, end: end)
  }

  func flush() throws(CaptureFileError) {
    written += UInt64(pending)
    try writer?.flush()
  }
}
