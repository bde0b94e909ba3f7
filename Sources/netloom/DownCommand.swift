import ArgumentParser
import Lab

struct DownCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "down",
    abstract: "Take a lab away.",
    discussion: """
      EXAMPLES:
        netloom down                 the only lab that runs
        netloom down dual-isp
        netloom down --all           every lab of yours, crashed ones too
      """,
    aliases: ["destroy"])

  @Argument(help: "The lab; may be left out while one runs.")
  var name: String?

  @Flag(help: "Every lab, also crashed ones.")
  var all = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if all, name != nil || common.lab != nil { throw ValidationError("Give a lab or --all, not both") }
    try common.agree(with: name)
  }

  func run() throws {
    let root = RunRoot.ofThisUser()
    root.sweep()
    let labs = try chosen(root)
    if labs.isEmpty, !common.json { Output.line("no lab is running") }
    var ended: [Ended] = []
    for lab in labs {
      let ending = try lab.stop()
      ended.append(Ended(lab: lab.name, ending: ending.rawValue))
      if !common.json { Output.line(sentence(lab, ending)) }
    }
    if common.json { try Output.json(ended) }
  }

  private struct Ended: Encodable {
    let lab: String
    let ending: String
  }

  private func chosen(_ root: RunRoot) throws -> [Lab] {
    let labs = try root.labs()
    if all { return labs }
    if let wanted = name ?? common.lab {
      if let lab = labs.first(where: { $0.name == wanted }) { return [lab] }
      if labs.contains(where: { $0.state == .running }) { return [try Labs.find(wanted)] }
      if let close = nearest(to: wanted, in: labs.map(\.name)) {
        throw LabError(.didNotHold, "no lab \(wanted) is running; did you mean \(close)?")
      }
      return []
    }
    let running = labs.filter { $0.state == .running }
    if running.count > 1 {
      throw LabError(
        .usage,
        "\(running.count) labs run (\(running.map(\.name).joined(separator: ", "))); name one: netloom down LAB, "
          + "or all: netloom down --all")
    }
    return running.isEmpty && labs.count == 1 ? labs : running
  }

  private func sentence(_ lab: Lab, _ ending: Lab.Ending) -> String {
    switch ending {
    case .stopped: "lab \(lab.name) is down"
    case .killed: "lab \(lab.name) did not answer and was killed"
    case .removed: "what the crashed lab \(lab.name) had left is removed"
    }
  }
}
