import Foundation
import Testing

/// A recorded table of the Internet goes through `netloom speaker` into BIRD and must arrive exact.
@Suite(.serialized) struct RoutingDataTests {
  static let data = Command.checkout + "/../shared/data/mrt"
  static var table: String { data + "/bview.20020722.2337.gz" }

  @Test(
    "one peer's table of 2002 arrives in BIRD route for route",
    .enabled(if: FileManager.default.fileExists(atPath: table), "needs the routing tables in ../shared/data"))
  func fullTable() throws {
    let bench = try Bench()
    let lab = "rd-\(getpid())"
    // bgpdump is the reader; one peer of the file is taken, its routes are what a speaker of that AS would announce.
    let dump = try Command.shell(
      """
      bgpdump -m '\(Self.table)' 2>/dev/null | awk -F'|' '$6 !~ /:/ { n[$4]++ ; print }
        END { for (p in n) print "PEER", p, n[p] > "'\(bench.directory)'/peers" }' > \(bench.directory)/all
      sort -k3,3n \(bench.directory)/peers | tail -1 | cut -d' ' -f2
      """)
    let peer = dump.output.trimmingCharacters(in: .whitespacesAndNewlines)
    try #require(!peer.isEmpty)
    let prepared = try Command.run(
      "python3",
      [
        "\(Command.checkout)/Tests/SystemTests/Fixtures/replay.py", "prepare", "\(bench.directory)/all", peer,
        bench.directory,
      ])
    try #require(prepared.exit == 0, "\(prepared.errors)")
    let file = try bench.file(
      "speaker.yaml",
      """
      asn: 65001
      router-id: 10.9.0.1
      fib: false
      neighbors:
        - {name: feed, address: 10.9.0.2, asn: 65002, families: [ipv4], import: accept, export: reject}
        - {name: bird, address: 10.9.1.2, asn: 4200000003, families: [ipv4], import: reject, export: accept}

      """)
    _ = try bench.file(
      "bird.conf",
      """
      router id 10.9.1.2;
      protocol device {}
      protocol bgp upstream { local as 4200000003; neighbor 10.9.1.1 as 65001; connect delay time 1; connect retry time 1; ipv4 { import all; export none; }; }

      """)
    _ = try bench.up(
      lab,
      """
      topology:
        nodes:
          speaker: {kind: host, cmd: ["exec \(Command.netloom) speaker \(file)"]}
          feed: {kind: host, cmd: ["exec python3 \(Command.checkout)/Tests/SystemTests/Fixtures/replay.py feed \(bench.directory) 10.9.0.1 65002"]}
          sink: {kind: bird, asn: 4200000003, config: bird.conf}
        links:
          - {endpoints: ["speaker:eth1", "feed:eth1"], addresses: [[10.9.0.1/24], [10.9.0.2/24]]}
          - {endpoints: ["speaker:eth2", "sink:eth1"], addresses: [[10.9.1.1/24], [10.9.1.2/24]]}

      """)
    let expected = try String(contentsOfFile: "\(bench.directory)/expected", encoding: .utf8)
    let count = expected.split(separator: "\n").count
    #expect(count > 100_000)
    #expect(
      try bench.eventually(120) {
        try bench.netloom(["exec", "--lab", lab, "sink", "--", "birdc", "-r", "show", "route", "count"]).output
          .contains("\(count) of \(count) routes")
      },
      "\((try? bench.netloom(["exec", "--lab", lab, "sink", "--", "birdc", "-r", "show", "route", "count"]).output) ?? "")"
    )
    let shown = try bench.netloom(
      ["exec", "--lab", lab, "sink", "--", "sh", "-c", "birdc -r show route all > \(bench.directory)/bird.txt"])
    #expect(shown.exit == 0)
    let compared = try Command.run(
      "python3", ["\(Command.checkout)/Tests/SystemTests/Fixtures/replay.py", "compare", bench.directory])
    #expect(compared.exit == 0, "\(compared.output)\(compared.errors)")
  }
}
