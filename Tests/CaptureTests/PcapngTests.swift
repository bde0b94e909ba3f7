import Capture
import Foundation
import NetTypes
import Testing

@Suite struct PcapngTests {
  private static let tools = ["/usr/bin/tshark", "/usr/bin/capinfos"].allSatisfy {
    FileManager.default.isExecutableFile(atPath: $0)
  }

  /// Two interfaces, three packets, counters; the path of the file.
  private func write(_ path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var writer = PcapngWriter(
      descriptor, PcapngSection(application: "netloom test", comment: "reachable, asymmetric: ünicode"),
      [
        .init(name: "h1:eth1", description: "to r1", filter: "icmp", mac: MACAddress(bytes: Frames.a), snapLength: 512),
        .init(name: "r1:eth0", snapLength: 512),
      ])
    for (index, size) in [0, 1, 3].enumerated() {
      let frame = Frames.ethernet(0x0800, Frames.ipv4(17, Frames.udp([UInt8](repeating: 7, count: size))))
      frame.withUnsafeBytes {
        writer.append(
          interface: index % 2, time: 1_700_000_000_123_456_789 + UInt64(index), wireLength: frame.count, $0,
          direction: index % 2 == 0 ? .outbound : .inbound, comment: index == 1 ? "hop 1" : "")
      }
    }
    writer.append(
      statistics: CaptureStatistics(received: 2, dropped: 1), interface: 0, start: 1_700_000_000_000_000_000,
      end: 1_700_000_001_000_000_000)
    try writer.flush()
  }

  private func temporary() -> String { NSTemporaryDirectory() + "netloom-pcapng-\(UUID().uuidString).pcapng" }

  @Test("what is written is read back: names, filter, times to the nanosecond, directions, comments, counters")
  func roundTrip() throws {
    let path = temporary()
    defer { unlink(path) }
    try write(path)
    let file = try PcapngFile(Array(Data(contentsOf: URL(fileURLWithPath: path))))
    #expect(file.comment == "reachable, asymmetric: ünicode")
    #expect(file.interfaces.map(\.name) == ["h1:eth1", "r1:eth0"])
    #expect(file.interfaces[0].filter == "icmp")
    #expect(file.interfaces[0].mac == MACAddress(bytes: Frames.a))
    #expect(file.interfaces[0].statistics == CaptureStatistics(received: 2, dropped: 1))
    #expect(file.records.map(\.time) == (0..<3).map { 1_700_000_000_123_456_789 + UInt64($0) })
    #expect(file.records.map(\.direction) == [.outbound, .inbound, .outbound])
    #expect(file.records.map(\.comment) == ["", "hop 1", ""])
    #expect(file.records.map(\.bytes.count) == [42, 43, 45])
  }

  @Test("a file cut anywhere is an error or a shorter file, never a crash")
  func cut() throws {
    let path = temporary()
    defer { unlink(path) }
    try write(path)
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    for length in 0..<bytes.count {
      let file = try? PcapngFile(Array(bytes.prefix(length)))
      #expect((file?.records.count ?? 0) <= 3)
    }
    #expect(throws: PcapngFile.ReadError.notPcapng) { try PcapngFile([1, 2, 3]) }
  }

  private func output(_ program: String, _ arguments: [String]) throws -> (text: String, status: Int32) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (String(decoding: data, as: UTF8.self), process.terminationStatus)
  }

  @Test("tshark and capinfos accept the file and show what it says", .enabled(if: tools, "tshark is not installed"))
  func wireshark() throws {
    let path = temporary()
    defer { unlink(path) }
    try write(path)
    let fields = try output(
      "/usr/bin/tshark",
      [
        "-r", path, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch", "-e",
        "frame.packet_flags_direction",
        "-e", "frame.comment", "-E", "separator=|",
      ])
    #expect(fields.status == 0)
    let lines = fields.text.split(separator: "\n").filter { $0.contains("|") }.map(String.init)
    #expect(
      lines == [
        "h1:eth1|1700000000.123456789|0x00000002|", "r1:eth0|1700000000.123456790|0x00000001|hop 1",
        "h1:eth1|1700000000.123456791|0x00000002|",
      ])
    let malformed = try output("/usr/bin/tshark", ["-r", path, "-Y", "_ws.malformed"])
    #expect(!malformed.text.contains("UDP") && malformed.status == 0)
    let info = try output("/usr/bin/capinfos", ["-A", path])
    #expect(info.status == 0)
    #expect(info.text.contains("Number of interfaces in file: 2"))
    #expect(info.text.contains("reachable, asymmetric"))
    #expect(info.text.contains("Name = h1:eth1") && info.text.contains("Filter string = icmp"))
    #expect(info.text.contains("Number of packets:   3"))
  }
}
