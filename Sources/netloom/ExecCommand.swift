import ArgumentParser
import Lab

struct ExecCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec",
    abstract: "Run a command in a node.",
    discussion: """
      EXAMPLES:
        netloom exec h1 -- ping -c 3 web
        netloom exec customer -- ip route
        netloom exec dual-isp/h1 -- bash            a terminal in the node
        netloom exec h1 -- tcpdump -ni eth1 -w - > h1.pcap

      Stdin, stdout, stderr, signals, the terminal and the exit code pass through; no root is needed.
      """)

  @Argument(help: "The node, or LAB/NODE.")
  var node: String

  @Argument(
    parsing: .captureForPassthrough, help: ArgumentHelp("The command, after --.", valueName: "command"))
  var words: [String] = []

  @Option(help: ArgumentHelp("The lab; may be left out while one runs.", valueName: "lab"))
  var lab: String?

  func run() throws {
    let (command, lab) = try split()
    guard !command.isEmpty else {
      throw LabError(.usage, "say what to run, for example: netloom exec \(node) -- ip address")
    }
    var options = CommonOptions.defaults
    options.lab = lab
    let target = try options.find(node)
    let names = target.lab.nodeNames()
    if !names.isEmpty, !names.contains(target.name) {
      let hint = nearest(to: target.name, in: names).map { "did you mean \($0)?" } ?? "see: netloom status"
      throw LabError(.usage, "lab \(target.lab.name) has no node \(target.name); \(hint)")
    }
    let request = ExecRequest(
      node: target.name, argv: command, environment: Output.environment, directory: Output.currentDirectory)
    throw Exit(code: try target.lab.run(request))
  }

  /// Everything after NODE arrives unparsed. What stands before `--` is ours if it is an option of ours, otherwise the
  /// command has begun: `netloom exec h1 ip route` works too.
  private func split() throws -> (command: [String], lab: String?) {
    guard let marker = words.firstIndex(of: "--") else { return (words, lab) }
    var lab = lab
    var ours = words[..<marker]
    while let word = ours.popFirst() {
      if word == "--lab", let value = ours.popFirst() {
        lab = value
      } else if word.hasPrefix("--lab=") {
        lab = String(word.dropFirst(6))
      } else if !["-v", "--verbose", "--no-color"].contains(word) {
        return (words, lab)
      }
    }
    return (Array(words[(marker + 1)...]), lab)
  }
}

extension CommonOptions {
  /// For commands that parse their words themselves.
  static var defaults: CommonOptions { (try? CommonOptions.parse([])) ?? CommonOptions() }
}
