import ArgumentParser
import Lab
import NorthboundClient

/// How answers are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable { case table, json }

/// What every command takes.
struct CommonOptions: ParsableArguments {
  @Option(name: .long, help: ArgumentHelp("The lab; may be left out while one runs.", valueName: "lab"))
  var lab: String?

  @Option(name: .shortAndLong, help: "table or json.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  var json: Bool { output == .json }

  /// The lab the command is about, and the node, from `NODE` or `LAB/NODE`. Leftovers of crashed labs are swept.
  func find(_ reference: String) throws -> (lab: Lab, name: String) {
    let parts = reference.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 else { return (try find(), reference) }
    if let lab, lab != parts[0] {
      throw LabError(.usage, "\(reference) is in lab \(parts[0]), but --lab says \(lab); leave one of them out")
    }
    return (try Labs.find(parts[0]), parts[1])
  }

  /// The named lab, or the only one that runs.
  func find() throws -> Lab { try Labs.find(lab) }
}

/// What also those commands take that are about no lab.
struct AppearanceOptions: ParsableArguments {
  @Flag(name: .customLong("no-color"), help: "No colours (also: NO_COLOR in the environment).")
  var noColor = false

  @Flag(name: .shortAndLong, help: "Say more.")
  var verbose = false

  /// Whether stdout takes colours.
  var color: Bool { !noColor && Output.isTerminal && !Output.environmentForbidsColor }
  var errorColor: Bool { !noColor && Output.isErrorTerminal && !Output.environmentForbidsColor }
}

enum Labs {
  static func find(_ name: String?) throws(LabError) -> Lab {
    let root = RunRoot.ofThisUser()
    root.sweep()
    do {
      return try root.running(named: name)
    } catch  where name != nil {
      let names = try root.labs().filter { $0.state == .running }.map(\.name)
      guard let name, let close = nearest(to: name, in: names) else { throw error }
      throw LabError(error.kind, error.message + "; did you mean \(close)?")
    }
  }
}
