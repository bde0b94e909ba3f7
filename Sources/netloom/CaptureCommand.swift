import ArgumentParser
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

  @Option(help: ArgumentHelp("The lab; may be left out while one runs.", valueName: "lab"))
  var lab: String?

  @Option(name: .shortAndLong, help: "Without effect: packets are lines, or pcapng with -w.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  func validate() throws {
    if let duration, duration.duration <= .zero { throw ValidationError("--for must be more than nothing") }
  }

  func run() throws {
    Lab.holdSignals()
    var options = CommonOptions.defaults
    options.lab = lab
    let (target, selection) = try options.find(all: points)
    let found = try waitFor { try await target.naming { try await $0.capturePoints(selection) } }
    guard !found.isEmpty else { throw LabError(.didNotHold, "there is no interface to capture on") }
    var request = ExecRequest(
      node: "", argv: try arguments(found), environment: Output.environment, directory: Output.currentDirectory,
      wantsTerminal: false)
    guard let write, write != "-" else { throw Exit(code: try target.run(request)) }
    let file = try Self.open(write)
    request.descriptors = [0, file.descriptor, 2]
    let code = try target.run(request)
    if code != 0, file.isNew { Self.removeEmpty(write) }
    throw Exit(code: code)
  }

  /// As netloom-probe's usage has them. The file is opened here, by the user and in the user's directory; what it held
  /// goes when the probe can capture, not before.
  private func arguments(_ points: [CapturePointInfo]) throws -> [String] {
    var words = [try Programs.own("netloom-probe"), "capture"]
    for point in points {
      words += ["--point", "\(point.node):\(point.interface):\(point.ifindex):\(point.pid)"]
      if !point.description.isEmpty { words += ["--describe", point.description] }
    }
    if let filter { words += ["--filter", filter] }
    if let write { words += [write == "-" ? "--write" : "--replace", "-"] }
    if let duration { words += ["--for", fixed(duration.duration.inSeconds, 3)] }
    return words
  }

  private static func open(_ path: String) throws(LabError) -> (descriptor: Int32, isNew: Bool) {
    let new = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    if new >= 0 { return (new, true) }
    let old = Glibc.open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    if old < 0 { throw LabError(.usage, "cannot write \(path): \(String(cString: strerror(errno)))") }
    return (old, false)
  }

  /// A capture that never began leaves no file.
  private static func removeEmpty(_ path: String) {
    var status = stat()
    if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size == 0 { unlink(path) }
  }
}
