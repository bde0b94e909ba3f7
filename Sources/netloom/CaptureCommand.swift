import ArgumentParser
import ControlProtocol
import Glibc
import Lab
import NorthboundAPI
import NorthboundClient

struct CaptureCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capture",
    abstract: "Capture on many interfaces at once: one merged pcapng, or a line per packet.",
    discussion: """
      EXAMPLES:
        netloom capture                             a line per packet, everywhere
        netloom capture isp1 customer:eth1 -f "tcp port 179" --for 10s
        netloom capture -w lab.pcapng                          until Ctrl-C
        netloom capture isp1 -w - | wireshark -k -i -
        netloom capture -w lab.pcapng --split                  lab-NODE.IFACE.pcapng
        netloom capture -w lab.pcapng --rotate-size 100mb --keep 5
        netloom capture -w lab.pcapng --tls-keys --for 10s     Wireshark reads mutual TLS

      --tls-keys gathers the session keys of the mesh's sidecars while the capture runs and
      puts them into the file, which then nobody else may read. Connections that stood
      before stay closed; sidecars replace those that are idle when the capture begins.

      The file is complete after --for, SIGINT or SIGTERM; an old one is replaced
      once the capture begins. `lo` is captured only when asked for (NODE:lo).
      """)

  @Argument(help: ArgumentHelp("Nodes or interfaces; none: all.", valueName: "node[:iface]"))
  var points: [String] = []

  @Option(name: [.short, .long], help: ArgumentHelp("A pcap-filter expression.", valueName: "filter"))
  var filter: String?

  @Option(
    name: [.short, .long], help: ArgumentHelp("The pcapng to write; - is stdout.", valueName: "file"),
    completion: .file(extensions: ["pcapng"]))
  var write: String?

  @Option(name: .customLong("for"), help: ArgumentHelp("Ends by itself (500ms, 10s, 2m).", valueName: "time"))
  var duration: TimeArgument?

  @Flag(help: "A file for each interface: FILE-NODE.IFACE.pcapng.")
  var split = false

  @Option(help: ArgumentHelp("A series FILE-00001.pcapng ... of at most this size each.", valueName: "size"))
  var rotateSize: SizeArgument?

  @Option(help: ArgumentHelp("A series of files of at most this time each.", valueName: "time"))
  var rotateTime: TimeArgument?

  @Flag(help: "Put the TLS keys of the mesh's sidecars into the file.")
  var tlsKeys = false

  @Option(help: ArgumentHelp("Of a series keep the newest files only.", valueName: "files"))
  var keep: Int?

  @Option(help: ArgumentHelp("The lab; may be left out while one runs.", valueName: "lab"))
  var lab: String?

  @Option(name: .shortAndLong, help: "Without effect: packets are lines, or pcapng with -w.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  private var isSeries: Bool { rotateSize != nil || rotateTime != nil }

  func validate() throws {
    if let duration, duration.duration <= .zero { throw ValidationError("--for must be more than nothing") }
    if let rotateTime, rotateTime.duration <= .zero {
      throw ValidationError("--rotate-time must be more than nothing")
    }
    if let keep, keep < 1 || keep > 1_000_000 { throw ValidationError("--keep is \(keep), expected 1 to 1000000") }
    if keep != nil, !isSeries { throw ValidationError("--keep needs --rotate-size or --rotate-time") }
    if tlsKeys, write == nil { throw ValidationError("--tls-keys needs -w") }
    if split || isSeries, write == nil || write == "-" {
      throw ValidationError("--split, --rotate-size and --rotate-time need -w FILE")
    }
  }

  func run() throws {
    Lab.holdSignals()
    var options = CommonOptions.defaults
    options.lab = lab
    let (target, selection) = try options.find(all: points)
    let found = try waitFor { try await target.naming { try await $0.capturePoints(selection) } }
    guard !found.isEmpty else { throw LabError(.didNotHold, "there is no interface to capture on") }
    let keys = tlsKeys ? try keySockets(target) : []
    var request = ExecRequest(
      node: "", argv: try arguments(found, keys), environment: Output.environment, directory: Output.currentDirectory,
      wantsTerminal: false)
    guard let write, write != "-" else { throw Exit(code: try target.run(request)) }
    if split || isSeries {
      request.descriptors = [try Self.openFolder(of: write), 1, 2]
      throw Exit(code: try target.run(request))
    }
    let file = try Self.open(write, isSecret: tlsKeys)
    request.descriptors = [0, file.descriptor, 2]
    let code = try target.run(request)
    if code != 0, file.isNew { Self.removeEmpty(write) }
    throw Exit(code: code)
  }

  /// As netloom-probe's usage has them. The file is opened here, by the user and in the user's directory; what it held
  /// goes when the probe can capture, not before.
  private func arguments(_ points: [CapturePointInfo], _ keys: [String]) throws -> [String] {
    var words = [try Programs.own("netloom-probe"), "capture"]
    for socket in keys { words += ["--keys", socket] }
    for point in points {
      words += ["--point", "\(point.node):\(point.interface):\(point.ifindex):\(point.pid)"]
      if !point.description.isEmpty { words += ["--describe", point.description] }
    }
    if let filter { words += ["--filter", filter] }
    if split || isSeries, let write {
      words += ["--files", Self.stem(of: write)]
      if split { words.append("--split") }
      if let rotateSize { words += ["--rotate-size", String(rotateSize.bytes)] }
      if let rotateTime { words += ["--rotate-time", fixed(rotateTime.duration.inSeconds, 6)] }
      if let keep { words += ["--keep", String(keep)] }
    } else if let write {
      words += [write == "-" ? "--write" : "--replace", "-"]
    }
    if let duration { words += ["--for", fixed(duration.duration.inSeconds, 3)] }
    return words
  }

  /// Where each sidecar of netloom's answers.
  private func keySockets(_ target: Lab) throws -> [String] {
    let mesh = try waitFor { try await target.naming { try await $0.mesh() } }
    return mesh.sidecars.filter { $0.sidecar == "netloom" }.map { target.directory.sidecarSocket($0.pod) }
  }

  private static func open(_ path: String, isSecret: Bool) throws(LabError) -> (descriptor: Int32, isNew: Bool) {
    let new = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, isSecret ? 0o600 : 0o644)
    if new >= 0 { return (new, true) }
    let old = Glibc.open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    if old >= 0, isSecret { _ = fchmod(old, 0o600) }
    if old < 0 { throw LabError(.usage, "cannot write \(path): \(String(cString: strerror(errno)))") }
    return (old, false)
  }

  /// Several files are made by the probe, in the folder that it is given open.
  private static func openFolder(of path: String) throws(LabError) -> Int32 {
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let opened = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard opened >= 0 else { throw LabError(.usage, "cannot open \(folder): \(String(cString: strerror(errno)))") }
    guard faccessat(opened, ".", W_OK, 0) == 0 else {
      throw LabError(.usage, "cannot write into \(folder): \(String(cString: strerror(errno)))")
    }
    return opened
  }

  /// What the names of several files begin with.
  private static func stem(of path: String) -> String {
    let name = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    return name.hasSuffix(".pcapng") ? String(name.dropLast(7)) : name
  }

  /// A capture that never began leaves no file.
  private static func removeEmpty(_ path: String) {
    var status = stat()
    if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size == 0 { unlink(path) }
  }
}

/// `100mb`: a whole or decimal number and a unit of 1024, as in topology files.
struct SizeArgument: ExpressibleByArgument {
  let bytes: UInt64

  init?(argument: String) {
    let units: [(suffix: String, factor: Double)] = [("kb", 1024), ("mb", 1_048_576), ("gb", 1_073_741_824), ("b", 1)]
    guard let unit = units.first(where: { argument.hasSuffix($0.suffix) }),
      let number = Double(argument.dropLast(unit.suffix.count)), number.isFinite, number > 0
    else { return nil }
    let size = (number * unit.factor).rounded()
    guard size >= 1, size <= 1e15 else { return nil }
    bytes = UInt64(size)
  }
}
