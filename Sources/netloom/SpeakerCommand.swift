import ArgumentParser
import CLinux
import ControlProtocol
import Glibc
import Intent
import Lab
import SwiftProtobuf
import Topology

struct SpeakerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "speaker",
    abstract: "One BGP speaker in the foreground, in the current namespace, without a lab.",
    discussion: """
      EXAMPLES:
        netloom speaker speaker.yaml
        ip netns exec edge netloom speaker edge.yaml

      Logs to stderr. SIGHUP reads the file again; SIGTERM sends Cease and ends with exit code 0.
      The file: netloom schema speaker.
      """)

  @Argument(help: "The speaker's file.", completion: .file(extensions: ["yaml", "yml"]))
  var file: String

  @Option(help: ArgumentHelp("Write what the speaker reads and end.", visibility: .hidden))
  var lower: String?

  @Option(help: .hidden)
  var lab: String?

  @Option(name: .shortAndLong, help: "Without effect: a speaker prints its log only.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  func run() throws {
    let speaker = try Files.value(of: SpeakerFile.load(path: file))
    let bytes: [UInt8] = try speakerConfig(of: speaker).serializedBytes()
    if let lower { return try Self.write(bytes, to: lower) }
    let path = try Self.privateFile()
    try Self.write(bytes, to: path)
    // This process becomes the speaker, so that signals reach it directly. On SIGHUP it runs the command after `--`,
    // which inherits the memory file and lowers the user's file into it again.
    try Programs.become([
      try Programs.own("netloom-node"), "--standalone", path, "--", try Programs.own("netloom"), "speaker",
      Paths.absolute(file), "--lower", path,
    ])
  }

  /// In memory, and gone with its last reader: it holds the sessions' passwords.
  private static func privateFile() throws(LabError) -> String {
    let descriptor = memfd_create("netloom-speaker", 0)
    guard descriptor >= 0 else {
      throw LabError(.environment, "cannot make a file in memory: \(String(cString: strerror(errno)))")
    }
    return "/proc/self/fd/\(descriptor)"
  }

  private static func write(_ bytes: [UInt8], to path: String) throws(LabError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    defer { close(descriptor) }
    guard descriptor >= 0, Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
      throw LabError(.environment, "cannot write \(path): \(String(cString: strerror(errno)))")
    }
  }
}
