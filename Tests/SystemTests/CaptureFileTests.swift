import Foundation
import Testing

/// What every capture that a system test leaves in its folder must be. A bench looks at its end.
enum CaptureFiles {
  /// What Wireshark's tools have to say against the pcapng files below a folder; empty: nothing.
  static func complaints(in directory: String) throws -> [String] {
    let found = try Command.run("find", [directory, "-name", "*.pcapng", "-type", "f", "-size", "+0"]).output
    return try found.split(separator: "\n").flatMap { try complaints(of: String($0)) }
  }

  static func complaints(of file: String) throws -> [String] {
    let info = try Command.run("capinfos", ["-c", "-M", file])
    // A line per packet: its number, and what a dissector found malformed in it.
    let read = try Command.run(
      "tshark", ["-n", "-r", file, "-T", "fields", "-e", "frame.number", "-e", "_ws.malformed"])
    var complaints: [String] = []
    for (name, run) in [("capinfos", info), ("tshark", read)] {
      let said = run.errors.split(separator: "\n").filter { !$0.hasPrefix("Running as user \"root\"") }
      if run.exit != 0 || !said.isEmpty { complaints.append("\(name) \(file): exit \(run.exit), \(said)") }
    }
    let lines = read.output.split(separator: "\n")
    let malformed = lines.filter { !$0.split(separator: "\t").dropFirst().isEmpty }
    if !malformed.isEmpty { complaints.append("\(file): malformed: \(malformed)") }
    let counted = info.output.firstMatch(of: /Number of packets: +(\d+)/).flatMap { Int($0.1) }
    if counted != lines.count {
      complaints.append("\(file): capinfos counts \(counted ?? -1) packets, tshark \(lines.count)")
    }
    return complaints
  }
}

@Suite(.serialized) struct CaptureFileTests {
  @Test("a file that is cut short, or is none, is complained of")
  func broken() throws {
    let bench = try Bench()
    let lab = "cf-broken-\(getpid())"
    _ = try bench.up(lab, CommandTests.pair)
    let whole = "\(bench.directory)/whole.pcapng"
    #expect(try bench.netloom(["trace", "--lab", lab, "h1", "h2", "--pcap", bench.directory]).exit == 0)
    let traced = try Command.shell("ls \(bench.directory)/*.pcapng").output.trimmingCharacters(
      in: .whitespacesAndNewlines)
    #expect(try CaptureFiles.complaints(of: traced).isEmpty)
    try FileManager.default.moveItem(atPath: traced, toPath: whole)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: whole))
    // No name that the bench looks for at its end.
    let cut = "\(bench.directory)/cut.bin"
    try bytes.dropLast(7).write(to: URL(fileURLWithPath: cut))
    #expect(try !CaptureFiles.complaints(of: cut).isEmpty)
    #expect(try !CaptureFiles.complaints(of: try bench.file("text.bin", "no capture")).isEmpty)
  }

  @Test(
    "a capture of several interfaces has as many packets of each as tcpdump beside it",
    .enabled(if: Command.isRoot, "tcpdump in nodes"))
  func counted() throws {
    let bench = try Bench()
    let lab = "cf-count-\(getpid())"
    _ = try bench.up(lab, CommandTests.pair)
    let places = [("h1", "eth1"), ("a", "eth2"), ("a", "eth1"), ("b", "eth1"), ("h2", "eth1")]
    let beside = try places.map { try NodeCapture(bench, lab, $0.0, $0.1, ["icmp", "or", "udp", "port", "5202"]) }
    let file = "\(bench.directory)/all.pcapng"
    let capture = Process()
    capture.executableURL = URL(fileURLWithPath: Command.netloom)
    capture.arguments = ["capture", "--lab", lab, "-f", "icmp or udp port 5202", "-w", file]
    capture.standardError = FileHandle.nullDevice
    try capture.run()
    // The file's header is written when every interface is open.
    #expect(bench.eventually(10) { ((try? Data(contentsOf: URL(fileURLWithPath: file)).count) ?? 0) > 0 })
    let ping = ["exec", "--lab", lab, "h1", "--", "ping", "-q", "-i", "0.005", "-c", "100", "198.51.100.2"]
    #expect(try bench.netloom(ping).exit == 0)
    #expect(try bench.netloom(["traffic", "--lab", lab, "h1", "h2", "--pps", "500", "--for", "1s"]).exit == 0)
    capture.interrupt()
    capture.waitUntilExit()
    let said = beside.map { $0.stop() }
    #expect(said.allSatisfy { $0.contains("\n0 packets dropped by kernel") }, "\(said)")
    let names = try Command.run("tshark", ["-r", file, "-T", "fields", "-e", "frame.interface_name"]).output
    let ours = Dictionary(names.split(separator: "\n").map { ($0, 1) }, uniquingKeysWith: +)
    for (place, other) in zip(places, beside) {
      let theirs = try Command.run("tcpdump", ["-n", "-r", other.file]).output.split(separator: "\n").count
      #expect(ours["\(place.0):\(place.1)"] == theirs && theirs >= 600, "\(place): \(ours) \(theirs)")
    }
  }
}
