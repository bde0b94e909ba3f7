import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct CheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Verdicts on the whole lab: loops, leaks, transit, reachability, black holes.",
    discussion: """
      WORDS (none: all)
        no-loops         no packet comes back to a node it has left, by the kernels' tables
        valley-free      no AS passes on to a peer or provider what it has from another one
        no-transit       no AS that is nobody's provider carries what is between others
        reachability     every node reaches every originated prefix: a packet says so
        no-blackhole     no router has a route for what then ends in nothing
        fib-equals-rib   kernels have what their speakers call best, and nothing else of BGP's
        symmetric        the way back uses the links of the way there

      EXAMPLES
        netloom check
        netloom check no-loops valley-free
        netloom check -o json reachability

      Exit code 0: all hold; 1: one is violated or undecided. A leaked route that
      no packet takes is a warning.
      """)

  @Argument(
    help: ArgumentHelp("What to check.", valueName: "word"), completion: .list(CheckWord.allCases.map(\.rawValue)))
  var words: [String] = []

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let asked = words.isEmpty ? CheckWord.allCases.map(\.rawValue) : words
    for word in asked where CheckWord(rawValue: word) == nil {
      let hint = nearest(to: word, in: CheckWord.allCases.map(\.rawValue)).map { "did you mean \($0)?" }
      throw LabError(.usage, "there is no check \(word); " + (hint ?? "see: netloom check --help"))
    }
    let lab = try common.find()
    let report = try await lab.naming { try await $0.check(CheckQuery(words: asked)) }
    if common.json {
      try Output.json(report)
    } else {
      for result in report.checks { Output.line(Self.text(result)) }
    }
    if report.checks.contains(where: { !$0.holds }) { throw Exit(code: 1) }
  }

  static func text(_ result: CheckResult) -> String {
    let verdict = result.undecided != nil ? "undecided" : result.holds ? "holds" : "violated"
    var lines = ["\(result.check.padding(16)) \(verdict), \(result.examined) looked at"]
    if let reason = result.undecided { lines.append("  \(reason)") }
    for violation in result.violations {
      let prefix = violation.prefix.map { " \($0)" } ?? ""
      lines.append("  \(violation.severity.rawValue) at \(violation.node)\(prefix): \(violation.detail)")
    }
    return lines.joined(separator: "\n")
  }
}

extension String {
  fileprivate func padding(_ width: Int) -> String {
    count < width ? self + String(repeating: " ", count: width - count) : self
  }
}
