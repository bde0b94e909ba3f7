import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct TrafficCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "traffic",
    abstract: "Load the way between two nodes, and say what became of every packet.",
    discussion: """
      EXAMPLES:
        netloom traffic h1 web --rate 5mbit --for 10s
        netloom traffic h1 web --pps 1000                     until Ctrl-C, an hour at most
        netloom traffic h1 198.51.100.2 --proto icmp --pps 100
        netloom traffic h1 web --proto tcp --for 30s -o json | jq '.result.outages[0].ms'

      Packets are numbered and carry the time at which they were sent. tcp without a rate goes as fast as it can, within
      200 Mbit/s; all load of a lab together keeps within 50,000 packets/s and 500 Mbit/s, so that the lab can run.
      Exit codes: 0 packets arrived; 1 none did, or the load could not run.
      """)

  @Argument(help: "The node that sends, or LAB/NODE.")
  var from: String

  @Argument(help: "A node, NODE:IFACE or an address.")
  var to: String

  @Option(help: "udp, tcp or icmp; icmp asks whoever has the address and counts there and back.")
  var proto: Transport = .udp

  @Option(help: ArgumentHelp("What is offered, payload only (64kbit, 5mbit).", valueName: "rate"))
  var rate: RateArgument?

  @Option(help: ArgumentHelp("Packets per second instead.", valueName: "n"))
  var pps: UInt32?

  @Option(help: "Of udp and tcp; 5202 unless said.")
  var port: UInt16?

  @Option(help: "ipv4 or ipv6; IPv4 where both ends have it.")
  var family: Family?

  @Option(help: ArgumentHelp("Bytes in each packet; 1400 with a rate, 64 with --pps.", valueName: "bytes"))
  var payload: UInt32?

  @Option(help: ArgumentHelp("The packets' code point (ef, af11, cs5, a number).", valueName: "dscp"))
  var dscp: DSCPArgument?

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp("How long (500ms, 10s, 1m); until Ctrl-C unless said, an hour at most.", valueName: "time"))
  var length: TimeArgument?

  @OptionGroup var common: CommonOptions

  enum Transport: String, ExpressibleByArgument, CaseIterable { case udp, tcp, icmp }
  enum Family: String, ExpressibleByArgument, CaseIterable { case ipv4, ipv6 }

  func validate() throws {
    if rate != nil, pps != nil { throw ValidationError("--rate or --pps: one says the other") }
    if pps == 0 { throw ValidationError("--pps 0 is no traffic") }
    if proto == .icmp, port != nil { throw ValidationError("--port needs --proto udp or tcp") }
    if port == 0 { throw ValidationError("--port 0 is no port; expected 1 to 65535") }
    if let length, length.duration < .milliseconds(1) || length.duration > .seconds(3600) {
      throw ValidationError("--for must be 1ms to 60m")
    }
    if let payload, !(24...65_000).contains(payload) { throw ValidationError("--payload must be 24 to 65000") }
  }

  func run() async throws {
    let (lab, source) = try common.find(from)
    let query = TrafficQuery(
      from: source, to: try lab.target(to), proto: proto.rawValue, port: port, family: family?.rawValue,
      rate: rate?.bitsPerSecond, packetsPerSecond: pps, payload: payload, dscp: dscp?.codePoint,
      durationMs: length.map { Int64(($0.duration.inSeconds * 1000).rounded()) })
    let watch = TrafficWatch(lab: lab, isShown: Output.isErrorTerminal && !common.json)
    let state = try await watch.run(query)
    if common.json {
      try Output.json(state)
    } else {
      TrafficText(state, palette: Palette(color: common.appearance.color)).lines.forEach(Output.line)
    }
    guard state.error == nil, state.result?.reachable == true else { throw Exit(code: 1) }
  }
}

/// Load that runs while somebody looks on.
private struct TrafficWatch: Sendable {
  let lab: Lab
  let isShown: Bool

  private static let interval = Duration.seconds(1)

  /// Until it has ended, or a signal ends it.
  func run(_ query: TrafficQuery) async throws -> TrafficState {
    let started = try await lab.naming { try await $0.startTraffic(query) }
    do {
      let ended = try await cancelledBySignals { try await look(started.id) }
      if let ended { return ended }
    } catch {
      // The load would go on without anybody who knows of it.
      _ = try? await lab.naming { try await $0.stopTraffic(started.id) }
      throw error
    }
    return try await lab.naming { try await $0.stopTraffic(started.id) }
  }

  /// - Returns: its last state; nil where the task was cancelled.
  private func look(_ id: UInt64) async throws -> TrafficState? {
    defer { if isShown { Output.progress("") } }
    while true {
      let states = try await lab.naming { try await $0.traffic() }
      guard let state = states.first(where: { $0.id == id }) else {
        throw LabError(.didNotHold, "the controller knows traffic \(id) no more: it was restarted")
      }
      guard state.running else { return state }
      if isShown { Output.progress(TrafficText.progress(state)) }
      let pause = state.query.durationMs.map { min(Self.interval, .milliseconds($0)) } ?? Self.interval
      do {
        try await Task.sleep(for: pause)  // poll
      } catch {
        return nil
      }
    }
  }
}
