import Foundation
import Testing

/// The outage that a report draws is the one that the receiving host saw.
@Suite(.serialized) struct OutageReportTests {
  /// Milliseconds from the first packet of its stream, and how long it lasted.
  private struct Window {
    var start: Double
    var length: Double
    func isAbout(_ other: Window) -> Bool { abs(start - other.start) <= 10 && abs(length - other.length) <= 10 }
  }

  /// A stream, by when it began on the clock of all those beside it.
  private struct Stream {
    var begin: Double
    var windows: [Window]
    var longest: Window { windows.max { $0.length < $1.length } ?? Window(start: 0, length: 0) }
  }

  /// A link that nothing stands in for is away for a while.
  private static let away = """
    tests:
      - name: the access link is away
        steps:
          - traffic: {from: h1, to: web, packets-per-second: 500}
          - fault: {flap: {link: ["h1:eth1", "customer:eth3"], down: 300ms, times: 1}}
          - trace: {from: h1, to: web}
            within: 5s

    """

  @Test(
    "the outages drawn in the report of a failover are gaps that tcpdump saw in the receiving host, and the longest ones",
    .enabled(if: Command.isRoot, "tcpdump in a node"))
  func failover() throws {
    let bench = try Bench()
    let lab = "or-fail-\(getpid())"
    let text = try String(contentsOfFile: "\(Command.checkout)/topologies/failover.yaml", encoding: .utf8)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.hasPrefix("name:") }
    _ = try bench.up(lab, lines.joined(separator: "\n"))
    let away = try bench.file("away.yaml", "topology: \(lab).yaml\n" + Self.away)
    // A failover may take a few milliseconds, the link that is away takes its time.
    try compare(bench, lab, "\(lab).yaml", "the uplink fails, traffic is restored", atLeast: 0)
    try compare(bench, lab, away, "the access link is away", atLeast: 250)
  }

  private func compare(_ bench: Bench, _ lab: String, _ file: String, _ test: String, atLeast: Double) throws {
    let capture = try NodeCapture(bench, lab, "web", "eth1", ["udp", "and", "dst", "host", "198.18.0.2"])
    let run = try bench.netloom(["test", file, "--lab", lab, "--only", test, "--html", "report.html"])
    let said = capture.stop()
    #expect(run.exit == 0, "\(run.output)\n\(run.errors)")
    #expect(said.contains("0 packets dropped by kernel"), "\(said)")
    let html = try String(contentsOfFile: "\(bench.directory)/report.html", encoding: .utf8)
    let drawn = try Self.drawn(html).sorted { $0.begin < $1.begin }
    let seen = try Self.gaps(capture.file).sorted { $0.begin < $1.begin }
    // The load that the test asks for, and the stream beside its trace, which begins later.
    #expect(drawn.count == 2 && seen.count == 2, "\(test): \(drawn) \(seen.map(\.longest))")
    for (drawn, seen) in zip(drawn, seen) {
      for outage in drawn.windows {
        #expect(seen.windows.contains(where: outage.isAbout), "\(test): \(outage) \(seen.longest)")
      }
      // Where the machine pauses no packet is lost: no outage, and none is drawn.
      guard atLeast > 0 else { continue }
      let longest = seen.longest
      #expect(longest.length >= atLeast && drawn.longest.isAbout(longest), "\(test): \(drawn.windows) \(longest)")
    }
  }

  /// The outages of each load, read off the drawing by the marks of its own axis.
  private static func drawn(_ html: String) throws -> [Stream] {
    let figure = try #require(html.firstMatch(of: /(?s)<figure class="timeline">.*?<\/svg>/)).0
    let marks = try figure.matches(
      of: /<path class="grid" d="M([0-9.]+) 8V[0-9.]+"\/><text x="[0-9.]+" y="[0-9.]+">([0-9.]+)</
    )
    .map { (x: try number($0.1), seconds: try number($0.2)) }
    let (first, last) = (try #require(marks.first), try #require(marks.last))
    try #require(marks.count > 1)
    let scale = (last.seconds - first.seconds) * 1000 / (last.x - first.x)
    return try figure.split(separator: #"<rect class="loaded""#).dropFirst().map { lane in
      let load = try number(try #require(lane.firstMatch(of: /x="([0-9.]+)"/)).1)
      let windows = try lane.matches(of: /<g class="bar outage"><rect x="([0-9.]+)" y="[0-9.]+" width="([0-9.]+)"/)
        .map { Window(start: (try number($0.1) - load) * scale, length: try number($0.2) * scale) }
      return Stream(begin: load, windows: windows)
    }
  }

  private static func number(_ text: Substring) throws -> Double { try #require(Double(text), "\(text)") }

  /// The times between the datagrams of each stream, by its ports.
  private static func gaps(_ file: String) throws -> [Stream] {
    let fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "udp.srcport", "-e", "udp.dstport"]
    let read = try Command.run("tshark", ["-r", file] + fields)
    var streams: [String: [Double]] = [:]
    for line in read.output.split(separator: "\n") {
      let words = line.split(separator: "\t")
      try #require(words.count == 3, "\(line)")
      streams["\(words[1]) \(words[2])", default: []].append(try number(words[0]) * 1000)
    }
    return streams.values.filter { $0.count > 20 }.map { times in
      Stream(
        begin: times[0],
        windows: zip(times, times.dropFirst()).map { Window(start: $0 - times[0], length: $1 - $0) })
    }
  }
}
