import Foundation
import Testing

/// tcpdump inside a node, beside whatever Netloom captures there.
final class NodeCapture {
  let file: String
  private let process = Process()
  private let errors = Pipe()
  private var said = ""

  /// Returns when tcpdump listens. `words`: its options and its filter.
  init(_ bench: Bench, _ lab: String, _ node: String, _ interface: String, _ words: [String]) throws {
    file = "\(bench.directory)/\(node)-\(interface).tcpdump.pcap"
    process.executableURL = URL(fileURLWithPath: Command.netloom)
    process.arguments =
      [
        "exec", "--lab", lab, node, "--", "tcpdump", "-n", "-i", interface, "--immediate-mode", "--nano", "-Z", "root",
        "-w", file,
      ] + words
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = errors
    try process.run()
    while !said.contains("listening on") {
      let more = errors.fileHandleForReading.availableData
      try #require(!more.isEmpty, "tcpdump: \(said)")
      said += String(decoding: more, as: UTF8.self)
    }
  }

  deinit { if process.isRunning { process.terminate() } }

  /// Ends it; returns what it says at its end.
  func stop() -> String {
    process.interrupt()
    process.waitUntilExit()
    return said + String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  }
}
