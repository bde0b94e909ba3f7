// `netloom-probe capture`, which `netloom capture` runs inside the lab: many interfaces, one file.
//
//   --point NODE:IFACE:IFINDEX:PID   once per interface; --describe TEXT after it gives its description
//   --filter EXPR --write FILE|- --for SECONDS --snaplen N --buffer BYTES
//   --replace -   as --write -, where stdout is a file whose old content goes once the capture begins
//   --keys SOCKET  once per sidecar whose TLS keys go into the file
//   --files STEM  files of these names in the folder that stdin is: --split for one of each interface, --rotate-size BYTES
//                 and --rotate-time SECONDS for a series of them, --keep N for the newest N of it
//
// The kernel hands over blocks (see CaptureOptions.immediate), so packets of different interfaces arrive out of order by
// up to that block time: they wait `reorderWindow` and leave sorted by time. Complete after --for, SIGINT, SIGTERM; when
// the reader of the pipe goes away it ends as quietly.
import Capture
import CLinux
import EventLoop
import Glibc
import NetTypes

struct CaptureCommand {
  private var points: [CaptureTarget] = []
  private var filter = ""
  private var write: String?
  private var replaces = false
  private var keys: [String] = []
  private var files = CaptureFilePlan()
  private var duration: UInt64?
  private var snapLength = 262_144
  private var ringBytes = 4 << 20

  static func main(_ arguments: [String]) -> Int32 {
    do {
      return try CaptureCommand(arguments).run()
    } catch let refusal as TraceRefusal {
      return ProbeProgram.fail(refusal.reason)
    } catch CaptureError.filter(let text, let reason) {
      writeError("netloom: filter \"\(text)\": \(reason)\n")
      return 2
    } catch {
      writeError("netloom: capture: \(error)\n")
      return 3
    }
  }

  // MARK: Arguments

  init(_ arguments: [String]) throws(TraceRefusal) {
    var rest = arguments[...]
    while let option = rest.popFirst() {
      if option == "--split" {
        files.isSplit = true
        continue
      }
      guard let value = rest.popFirst() else { throw TraceRefusal(reason: "\(option) needs a value") }
      switch option {
      case "--point": points.append(try Self.point(value))
      case "--describe":
        guard !points.isEmpty else { throw TraceRefusal(reason: "--describe stands after its --point") }
        points[points.count - 1].description = value
      case "--filter": filter = value
      case "--write": (write, replaces) = (value, false)
      case "--replace": (write, replaces) = (value, true)
      case "--keys":
        keys.append(value)
        files.isSecret = true
      case "--for": duration = try Self.seconds(option, value)
      case "--files": (files.folder, files.stem, write) = (0, try Self.stem(value), value)
      case "--rotate-size": files.mostBytes = UInt64(try Self.number(option, value, 1...(1 << 50)))
      case "--rotate-time": files.mostTime = try Self.seconds(option, value)
      case "--keep": files.keep = try Self.number(option, value, 1...1_000_000)
      case "--snaplen": snapLength = try Self.number(option, value, 64...262_144)
      case "--buffer": ringBytes = try Self.number(option, value, 65_536...(1 << 30))
      default: throw TraceRefusal(reason: "unknown option \(option)")
      }
    }
    guard !points.isEmpty else { throw TraceRefusal(reason: "no --point") }
    guard files.folder != nil || !files.isSplit && !files.isSeries && files.keep == 0 else {
      throw TraceRefusal(reason: "--split, --rotate-size, --rotate-time and --keep need --files")
    }
    guard keys.isEmpty || write != nil else { throw TraceRefusal(reason: "--keys needs a file") }
    guard files.keep == 0 || files.isSeries else {
      throw TraceRefusal(reason: "--keep needs --rotate-size or --rotate-time")
    }
  }

  private static func seconds(_ option: String, _ text: String) throws(TraceRefusal) -> UInt64 {
    guard let seconds = Double(text), seconds > 0, seconds < 1e9 else {
      throw TraceRefusal(reason: "\(option) \(text) is no number of seconds")
    }
    return UInt64(seconds * 1e9)
  }

  /// Names in the folder, nowhere else.
  private static func stem(_ text: String) throws(TraceRefusal) -> String {
    guard !text.isEmpty, !text.contains("/"), text.utf8.count < 128 else {
      throw TraceRefusal(reason: "--files \(text) is no beginning of file names")
    }
    return text
  }

  private static func number(_ option: String, _ text: String, _ range: ClosedRange<Int>) throws(TraceRefusal) -> Int {
    guard let value = Int(text), range.contains(value) else {
      throw TraceRefusal(reason: "\(option) \(text) is no number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  private static func point(_ text: String) throws(TraceRefusal) -> CaptureTarget {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 4, !parts[0].isEmpty, let interface = InterfaceName(parts[1]), let pid = Int32(parts[3])
    else { throw TraceRefusal(reason: "--point \(text) is not NODE:IFACE:IFINDEX:PID") }
    return CaptureTarget(
      node: String(parts[0]), interface: interface.text, namespace: TracePlan.namespace(pid))
  }

  // MARK: Running

  private func run() throws -> Int32 {
    signal(SIGPIPE, SIG_IGN)
    let loop = try EventLoop()
    try loop.onSignals([SIGINT, SIGTERM]) { _ in loop.stop() }
    let captures = try CaptureSet(
      points, CaptureOptions(filter: filter, snapLength: snapLength, ringBytes: ringBytes, immediate: false))
    for (target, state) in zip(captures.targets, captures.states) {
      if let reason = state.reason { writeError("netloom: \(target.name): \(reason)\n") }
    }
    guard captures.states.contains(where: { $0.mac != nil }) else {
      writeError("netloom: capture: no interface could be captured\n")
      return 3
    }
    let file = files.folder == nil ? try openOutput() : 1
    defer { if file > 2 { _ = close(file) } }
    let session = CaptureSession(captures, try output(file, captures), file, loop)
    let readers = keyReaders(loop, session)
    writeError("capturing on \(captures.states.count { $0.mac != nil }) interfaces\n")
    try loop.register(captures.descriptor, .read) { _ in session.poll() }
    // A closed pipe shows as an error condition although nothing is read from it; regular files cannot be watched.
    try? loop.register(file, []) { readiness in
      if readiness.contains(.error) || readiness.contains(.hangup) { session.readerLeft() }
    }
    if let duration { loop.after(duration) { loop.stop() } }
    session.scheduleRelease()
    try loop.run()
    for reader in readers { reader.read() }
    let failure = session.finish()
    writeError(session.summary)
    if !keys.isEmpty {
      writeError("\(readers.reduce(0) { $0 + $1.count }) lines of TLS keys of \(readers.count) sidecars\n")
    }
    if let failure, !failure.isClosedPipe {
      writeError("netloom: capture: \(write ?? "stdout"): \(failure)\n")
      return 3
    }
    return 0
  }

  /// A sidecar that does not answer is left out, and said.
  private func keyReaders(_ loop: EventLoop, _ session: CaptureSession) -> [KeyLogReader] {
    keys.compactMap { path in
      do throws(SystemError) {
        return try KeyLogReader(path, loop) { session.take(keys: $0) }
      } catch {
        writeError("netloom: no TLS keys of a sidecar: \(error)\n")
        return nil
      }
    }
  }

  private func openOutput() throws(SystemError) -> Int32 {
    guard let write, write != "-" else {
      // Not every file can be cut: a pipe or a device has nothing to cut.
      if replaces { _ = ftruncate(1, 0) }
      return 1
    }
    return try FileDescriptor.open(write, O_WRONLY | O_CREAT | O_TRUNC).release()
  }

  /// nil: lines.
  private func output(_ file: Int32, _ captures: CaptureSet) throws(CaptureFileError) -> CaptureFiles? {
    guard write != nil else { return nil }
    let interfaces = captures.targets.indices.map { index in
      let target = captures.targets[index]
      return PcapngWriter.Interface(
        name: target.name, description: target.description, filter: filter, mac: captures.states[index].mac,
        snapLength: snapLength)
    }
    return try CaptureFiles(files, file, interfaces)
  }
}

extension CaptureState {
  /// Why nothing is captured, in words.
  fileprivate var reason: String? {
    switch self {
    case .open: nil
    case .down: "is down, nothing is captured there"
    case .absent: "its node does not run"
    case .failed(let reason): reason
    }
  }
}
