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

  @OptionGroup var appearance: AppearanceOptions

  func run() throws {
    let speaker = try Files.value(of: SpeakerFile.load(path: file))
    let bytes: [UInt8] = try speakerConfig(of: speaker).serializedBytes()
    if let lower { return try Self.write(bytes, to: lower) }
    let program = try Programs.own("netloom-node")
    let path = try Self.privateFile()
    try Self.write(bytes, to: path)
    // This process becomes the speaker, so that signals reach it directly. On SIGHUP it lowers the file by this
    // program again.
    let netloom = try Programs.own("netloom")
    try Programs.become([
      program, "--standalone", path, "--reload", netloom, Paths.absolute(file),
    ])
  }

  /// A file of this user's alone: it holds the sessions' passwords.
  private static func privateFile() throws(LabError) -> String {
    let directory = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(directory)/netloom-speaker-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard descriptor >= 0 else {
      throw LabError(.environment, "cannot make a file in \(directory): \(String(cString: strerror(errno)))")
    }
    close(descriptor)
    return path
  }

  private static func write(_ bytes: [UInt8], to path: String) throws(LabError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    defer { close(descriptor) }
    guard descriptor >= 0, Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
      throw LabError(.environment, "cannot write \(path): \(String(cString: strerror(errno)))")
    }
  }
}
