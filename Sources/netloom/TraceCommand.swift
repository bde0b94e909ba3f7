import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct TraceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace",
    abstract: "Send a real flow and prove from captures which way it went and came back.",
    discussion: """
      EXAMPLES:
        netloom trace h1 web                                  ICMP echo
        netloom trace h1 web --proto tcp --port 80 --pcap .
        netloom trace h1 198.51.100.2 --family ipv4 --count 10
        netloom trace h1 web -o json | jq .return.path

      Exit codes: 0 reachable; 1 not reachable, or undecided because a capture was not whole.
      """)

  @Argument(help: "The node that sends, or LAB/NODE.")
  var from: String

  @Argument(help: "A node, NODE:IFACE or an address.")
  var to: String

  @Option(help: "icmp, tcp or udp.")
  var proto: Transport = .icmp

  @Option(help: "Of tcp and udp; 80 for tcp and 33434 for udp unless said.")
  var port: UInt16?

  @Option(help: "ipv4 or ipv6; IPv4 where both ends have it.")
  var family: Family?

  @Option(help: "Probes (icmp, udp) or connections (tcp).")
  var count: UInt32?

  @Option(help: ArgumentHelp("Keep the pcapng in this directory.", valueName: "dir"), completion: .directory)
  var pcap: String?

  @OptionGroup var common: CommonOptions

  enum Transport: String, ExpressibleByArgument, CaseIterable { case icmp, tcp, udp }
  enum Family: String, ExpressibleByArgument, CaseIterable { case ipv4, ipv6 }

  func validate() throws {
    if proto == .icmp, port != nil { throw ValidationError("--port needs --proto tcp or udp") }
    if port == 0 { throw ValidationError("--port 0 is no port; expected 1 to 65535") }
    if count == 0 { throw ValidationError("--count must be at least 1") }
  }

  func run() async throws {
    let (lab, source) = try common.find(from)
    let query = TraceQuery(
      from: source, to: try lab.target(to), proto: proto.rawValue, port: port ?? Self.usualPort(proto),
      family: family?.rawValue, count: count, directory: try pcap.map(Paths.directory))
    let trace = try await lab.naming { try await $0.trace(query) }
    if common.json {
      try Output.json(trace)
    } else {
      TraceText(trace, palette: Palette(color: common.appearance.color)).lines.forEach(Output.line)
    }
    if !trace.reachable || trace.undecided != nil || !trace.complete { throw Exit(code: 1) }
  }

  private static func usualPort(_ proto: Transport) -> UInt16? {
    switch proto {
    case .icmp: nil
    case .tcp: 80
    case .udp: 33434
    }
  }
}
