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
        netloom exec h1 --lab dual-isp -- ip route
        netloom exec h1 -- tcpdump -ni eth1 -w - > h1.pcap

      Stdin, stdout, stderr, signals, the terminal and the exit code pass through; no
      root is needed. Options of netloom stand before the command.
      """)

  @Argument(help: "The node, or LAB/NODE.")
  var node: String

  @Argument(
    parsing: .captureForPassthrough, help: ArgumentHelp("The command, after --.", valueName: "command"))
  var words: [String] = []

  @Option(help: ArgumentHelp("The lab; may be left out while one runs.", valueName: "lab"))
  var lab: String?

  @Option(name: .shortAndLong, help: "Without effect: the output is the command's.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

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

  /// Everything after NODE arrives unparsed. Options are ours until `--` or the first word that is none, which begins
  /// the command: `netloom exec h1 ip -4 route` works too.
  private func split() throws -> (command: [String], lab: String?) {
    var lab = lab
    var rest = words[...]
    while let word = rest.first, word.hasPrefix("-") {
      rest.removeFirst()
      if word == "--" { break }
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      switch parts[0] {
      case "-h", "--help": throw CleanExit.helpRequest(Self.self)
      case "-v", "--verbose", "--no-color": break
      case "--lab", "-o", "--output":
        guard let value = parts.count == 2 ? parts[1] : rest.popFirst(), value != "--" else {
          throw LabError(.usage, "\(word) needs a value")
        }
        if parts[0] == "--lab" {
          lab = value
        } else if OutputFormat(rawValue: value) == nil {
          throw LabError(.usage, "\(parts[0]) is table or json, not \(value)")
        }
      default:
        throw LabError(
          .usage, "exec has no option \(word); say what to run after --: netloom exec \(node) -- COMMAND")
      }
    }
    return (Array(rest), lab)
  }
}

extension CommonOptions {
  /// For commands that parse their words themselves.
  static var defaults: CommonOptions { (try? CommonOptions.parse([])) ?? CommonOptions() }
}
