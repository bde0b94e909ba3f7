import Foundation
import Testing

/// What a link did to packets, as Netloom says it, against what ping and the kernel of the nodes say.
@Suite(.serialized) struct ImpairmentTests {
  /// Without what kernels say of themselves over IPv6, whatever passes is the tests'.
  private static let slow = """
    topology:
      nodes:
        h1: {kind: host, exec: ["sysctl -qw net.ipv6.conf.all.disable_ipv6=1"]}
        h2: {kind: host, exec: ["sysctl -qw net.ipv6.conf.all.disable_ipv6=1"]}
      links:
        - {endpoints: ["h1:eth1", "h2:eth1"], addresses: [[192.0.2.1/24], [192.0.2.2/24]], delay: 10ms, loss: 20%}
    addressing: {ipv6: false}

    """

  /// Written against the description of the API, not against the product's own types.
  private struct Link: Decodable {
    struct Impairment: Decodable {
      struct Achieved: Decodable {
        var packets: UInt64
        var dropped: UInt64
        var lateMedianMs: Double
        var lateMaxMs: Double
        var offered: UInt64
        var lost: UInt64
      }
      var delayMs: Double
      var lossPercent: Double
      var achieved: Achieved
    }
    var interface: String
    var impairment: Impairment?
  }

  private func impairment(_ bench: Bench, _ lab: String, _ node: String) throws -> Link.Impairment {
    let shown = try bench.netloom(["show", "links", "--lab", lab, node, "-o", "json"])
    let links = try JSONDecoder().decode([Link].self, from: Data(shown.output.utf8))
    return try #require(links.first { $0.interface == "eth1" }?.impairment, "\(shown.output)\(shown.errors)")
  }

  private func received(_ bench: Bench, _ lab: String, _ node: String) throws -> UInt64 {
    let path = "/sys/class/net/eth1/statistics/rx_packets"
    let text = try bench.netloom(["exec", "--lab", lab, node, "--", "cat", path]).output
    return try #require(UInt64(text.trimmingCharacters(in: .whitespacesAndNewlines)), "\(text)")
  }

  @Test("what a link delayed and lost is what ping missed and the far kernel received")
  func counted() throws {
    let bench = try Bench()
    let lab = "im-ping-\(getpid())"
    _ = try bench.up(lab, Self.slow)
    let start = (h1: try impairment(bench, lab, "h1"), h2: try impairment(bench, lab, "h2"))
    #expect(start.h1.delayMs == 10 && start.h1.lossPercent == 20)
    let ping = try bench.netloom(["exec", "--lab", lab, "h1", "--", "ping", "-c", "200", "-i", "0.01", "-W", "1", "h2"])
    let before = try received(bench, lab, "h2")
    let end = (h1: try impairment(bench, lab, "h1"), h2: try impairment(bench, lab, "h2"))
    let after = try received(bench, lab, "h2")
    let summary = try #require(ping.output.firstMatch(of: /(\d+) received/), "\(ping.output)")
    let answered = try #require(Int(summary.1))
    // A request that is lost has no answer that could be: both directions together miss what ping misses. Nothing else
    // is offered to chance on this link: ARP is none of IP's.
    let offered = (
      there: end.h1.achieved.offered - start.h1.achieved.offered,
      back: end.h2.achieved.offered - start.h2.achieved.offered
    )
    let lost = (
      there: end.h1.achieved.lost - start.h1.achieved.lost, back: end.h2.achieved.lost - start.h2.achieved.lost
    )
    #expect(offered.there == 200 && offered.back == 200 - lost.there, "\(offered) \(lost)")
    #expect(Int(lost.there + lost.back) == 200 - answered, "\(lost): \(ping.output)")
    #expect(lost.there > 0)
    // The kernel of the far end has every packet that the relay says it passed on.
    #expect((before...after).contains(end.h1.achieved.packets), "\(before) \(end.h1.achieved.packets) \(after)")
    #expect(end.h1.achieved.dropped == start.h1.achieved.dropped)
    #expect(end.h2.achieved.dropped == start.h2.achieved.dropped)
    // rtt min/avg/max/mdev: 20 ms are the delay's, and what most packets were late is part of the rest.
    let times = try #require(ping.output.firstMatch(of: /= ([0-9.]+)\/([0-9.]+)\/([0-9.]+)\//), "\(ping.output)")
    let (least, most) = (try #require(Double(times.1)), try #require(Double(times.3)))
    #expect(least >= 20)
    #expect(end.h1.achieved.lateMedianMs <= most - 20 && end.h2.achieved.lateMedianMs <= most - 20)
    #expect(end.h1.achieved.lateMedianMs <= end.h1.achieved.lateMaxMs)
    let text = try bench.netloom(["show", "links", "--lab", lab, "h1"]).output
    #expect(
      text.contains(/eth1 → h2:eth1: asked delay 10 ms, loss 20 %; \d+ packets, \d+ dropped, late .* ms/), "\(text)")
    #expect(text.contains(/lost \d+ of \d+ \(\d+\.\d\d %\)/), "\(text)")
    // A link that does nothing to packets has no such line.
    let plain = "im-plain-\(getpid())"
    _ = try bench.up(plain, "topology: {nodes: {a: {kind: host}, b: {kind: host}}, links: [{endpoints: [a, b]}]}\n")
    #expect(try !bench.netloom(["show", "links", "--lab", plain, "a"]).output.contains("asked"))
  }

  @Test("reports say what links that declare impairments did until the end of the tests")
  func reported() throws {
    let bench = try Bench()
    let file = try bench.file(
      "lab.yaml",
      "name: im-report-\(getpid())\n" + Self.slow + """
        tests:
          - name: there and back
            steps:
              - exec: {node: h1, command: "ping -q -c 50 -i 0.01 -W 1 h2 || true"}

        """)
    let run = try bench.netloom(["test", file, "--html", "report.html", "--markdown", "report.md"])
    #expect(run.exit == 0, "\(run.output)\n\(run.errors)")
    let html = try String(contentsOfFile: "\(bench.directory)/report.html", encoding: .utf8)
    let markdown = try String(contentsOfFile: "\(bench.directory)/report.md", encoding: .utf8)
    #expect(html.contains("Impairments: asked, achieved"))
    let row = try #require(
      html.firstMatch(of: /<td>h1:eth1<\/td><td>h2:eth1<\/td><td>delay 10 ms, loss 20 %<\/td>\s*<td>(\d+) packets/))
    // ARP's frames are beside the echo requests.
    #expect(try #require(Int(row.1)) >= 50)
    #expect(html.contains(/lost \d+ of 50\b/), "of as many as ping sent")
    #expect(markdown.contains("| h1:eth1 | h2:eth1 | delay 10 ms, loss 20 % | "), "\(markdown)")
    #expect(markdown.contains("| h2:eth1 | h1:eth1 | "))
  }
}
