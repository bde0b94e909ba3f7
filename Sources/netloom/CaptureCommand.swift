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

      The file is complete after --for, SIGINT or SIGTERM. `lo` is captured only when asked for (NODE:lo).
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

  @OptionGroup var appearance: AppearanceOptions

  func validate() throws {
    if let duration, duration.duration <= .zero { throw ValidationError("--for must be more than nothing") }
  }

  func run() throws {
    Lab.holdSignals()
    var options = CommonOptions.defaults
    options.lab = lab
    let references = try points.map(options.find)
    let target = try references.first?.lab ?? options.find()
    if let other = references.first(where: { $0.lab.name != target.name }) {
      throw LabError(.usage, "one capture, one lab: \(target.name) or \(other.lab.name)?")
    }
    let selection = references.map(\.name)
    let found = try waitFor { try await target.naming { try await $0.capturePoints(selection) } }
    guard !found.isEmpty else { throw LabError(.didNotHold, "there is no interface to capture on") }
    var request = ExecRequest(
      node: "", argv: try arguments(found), environment: Output.environment, directory: Output.currentDirectory,
      wantsTerminal: false)
    let file = try write.flatMap { $0 == "-" ? nil : try Self.create($0) }
    if let file { request.descriptors = [0, file, 2] }
    throw Exit(code: try target.run(request))
  }

  /// As netloom-probe's usage has them. The file is opened here, by the user and in the user's directory.
  private func arguments(_ points: [CapturePointInfo]) throws -> [String] {
    var words = [try Programs.own("netloom-probe"), "capture"]
    for point in points {
      words += ["--point", "\(point.node):\(point.interface):\(point.ifindex):\(point.pid)"]
      if !point.description.isEmpty { words += ["--describe", point.description] }
    }
    if let filter { words += ["--filter", filter] }
    if write != nil { words += ["--write", "-"] }
    if let duration { words += ["--for", fixed(duration.duration.inSeconds, 3)] }
    return words
  }

  private static func create(_ path: String) throws(LabError) -> Int32 {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    if descriptor < 0 { throw LabError(.usage, "cannot write \(path): \(String(cString: strerror(errno)))") }
    return descriptor
  }
}
