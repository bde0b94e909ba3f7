import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct RateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rate",
    abstract: "Send for a time, measure what arrives, and tell from the packets what limited it.",
    discussion: """
      EXAMPLES:
        netloom rate h1 web                                   TCP, as fast as it goes, for 10 s
        netloom rate h1 web --proto udp --rate 20mbit --for 5s
        netloom rate h1 web --proto udp --rate 64kbit --dscp ef -v
        netloom rate h1 web -o json | jq '{mbit, limitedBy, place}'

      shaping: the excess waited in a queue; policing: it was dropped; none: neither.
      Exit codes: 0 measured; 1 nothing arrived, or the captures do not tell what limited it.
      """)

  @Argument(help: "The node that sends, or LAB/NODE.")
  var from: String

  @Argument(help: "A node, NODE:IFACE or an address.")
  var to: String

  @Option(help: "tcp or udp.")
  var proto: Transport = .tcp

  @Option(help: "The port.")
  var port: UInt16 = 5201

  @Option(name: .customLong("for"), help: ArgumentHelp("How long (500ms, 10s, 1m).", valueName: "time"))
  var length = TimeArgument(.seconds(10))

  @Option(help: ArgumentHelp("udp: what is offered, payload only (64kbit, 20mbit).", valueName: "rate"))
  var rate: RateArgument?

  @Option(help: "ipv4 or ipv6; IPv4 where both ends have it.")
  var family: Family?

  @Option(help: ArgumentHelp("The packets' code point (ef, af11, cs5, a number).", valueName: "dscp"))
  var dscp: DSCPArgument?

  @Option(help: ArgumentHelp("Keep the pcapng in this directory.", valueName: "dir"), completion: .directory)
  var pcap: String?

  @OptionGroup var common: CommonOptions

  enum Transport: String, ExpressibleByArgument, CaseIterable { case tcp, udp }
  enum Family: String, ExpressibleByArgument, CaseIterable { case ipv4, ipv6 }

  func validate() throws {
    if proto == .udp, rate == nil { throw ValidationError("--proto udp needs --rate: UDP itself knows no limit") }
    if proto == .tcp, rate != nil { throw ValidationError("--rate goes with --proto udp: TCP finds its own rate") }
    if port == 0 { throw ValidationError("--port 0 is no port; expected 1 to 65535") }
    if length.duration < .milliseconds(100) || length.duration > .seconds(600) {
      throw ValidationError("--for must be 100ms to 10m")
    }
  }

  func run() async throws {
    let (lab, source) = try common.find(from)
    let query = RateQuery(
      from: source, to: try lab.target(to), proto: proto.rawValue, port: port,
      durationMs: Int64((length.duration.inSeconds * 1000).rounded()), rate: rate?.bitsPerSecond,
      family: family?.rawValue, dscp: dscp?.codePoint, directory: try pcap.map(Paths.directory))
    let result = try await lab.naming { try await $0.rate(query) }
    if common.json {
      try Output.json(result)
    } else {
      let palette = Palette(color: common.appearance.color)
      let heading =
        palette.bold("\(source) → \(query.to)") + "  \(proto.rawValue)/\(port)"
        + (rate.map { ", \(rateText($0.bitsPerSecond)) offered" } ?? "")
      RateText(result, palette: palette, verbose: common.appearance.verbose).lines(heading).forEach(Output.line)
    }
    if !result.reachable || result.undecided != nil || !result.complete { throw Exit(code: 1) }
  }
}

extension Lab {
  /// TO of a flow: `LAB/NODE` is taken as well, if it is the same lab.
  func target(_ to: String) throws(LabError) -> String {
    let parts = to.split(separator: "/", maxSplits: 1).map(String.init)
    guard parts.count == 2 else { return to }
    guard parts[0] == name else { throw LabError(.usage, "\(to) is not in lab \(name): a flow stays in one lab") }
    return parts[1]
  }
}
