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

  /// Several things of one lab, which the command is about: where one of them says LAB/, it says so for all.
  func find(all references: [String]) throws -> (lab: Lab, names: [String]) {
    let parts = references.map {
      $0.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    }
    guard let index = parts.firstIndex(where: { $0.count == 2 }) else { return (try find(), references) }
    if let other = parts.first(where: { $0.count == 2 && $0[0] != parts[index][0] }) {
      throw LabError(.usage, "one command, one lab: \(parts[index][0]) or \(other[0])?")
    }
    return (try find(references[index]).lab, parts.map { $0[$0.count - 1] })
  }

  /// For commands that take the lab as an argument too: both may say it, but not two labs.
  func agree(with name: String?) throws {
    if let name, let lab, name != lab {
      throw ValidationError("One lab: \(name) or \(lab)? Give it as the argument or with --lab, not both")
    }
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
