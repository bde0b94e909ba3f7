import ArgumentParser
import Lab
import NorthboundAPI
import Topology

/// What stands behind `netloom fault`, as commands for the controller.
struct FaultArguments: ParsableArguments {
  @Option(help: ArgumentHelp("loss, delay, jitter, rate: only what this end's node sends.", valueName: "node"))
  var from: String?

  @Option(help: ArgumentHelp("delay: how much it varies.", valueName: "time"))
  var jitter: TimeArgument?

  @Option(help: ArgumentHelp("flap: how often the link goes down; until it is mended unless given.", valueName: "n"))
  var times: Int?

  @Option(help: ArgumentHelp("flap: how long it is down (1s unless given).", valueName: "time"))
  var down: TimeArgument?

  @Option(help: ArgumentHelp("flap: how long it is up in between (1s unless given).", valueName: "time"))
  var up: TimeArgument?

  /// The words of one fault, checked as far as that needs no lab. `words` are what stands behind the kind.
  func commands(_ kind: FaultStep.Kind, _ words: [String]) throws -> [FaultCommand] {
    try checkOptions(kind)
    switch kind {
    case .linkDown, .linkUp: return [try command(kind, links: words, amount: nil)]
    case .kill, .start, .killSpeaker: return [try command(kind, words, count: 1, "one node")]
    case .killController: return [try command(kind, words, count: 0, "nothing more")]
    case .resetSession: return [try command(kind, words, count: 2, "a node and its neighbor")]
    case .flap: return [try flap(words)]
    case .loss, .delay, .jitter, .rate: return try impairments(kind, words)
    case .partition: return [try partition(words)]
    }
  }

  private func command(_ kind: FaultStep.Kind, _ words: [String], count: Int, _ wanted: String) throws -> FaultCommand {
    guard words.count == count else {
      throw LabError(.usage, "fault \(kind.rawValue) takes \(wanted); \(words.count) given")
    }
    return FaultCommand(kind: kind.rawValue, targets: words)
  }

  /// A node alone does not say which of its links.
  private func command(_ kind: FaultStep.Kind, links words: [String], amount: String?) throws -> FaultCommand {
    let wanted = "both ends of the link, NODE:IFACE NODE:IFACE" + (amount.map { ", and \($0)" } ?? "")
    guard words.count == (amount == nil ? 2 : 3) else {
      throw LabError(.usage, "fault \(kind.rawValue) takes \(wanted); \(words.count) given")
    }
    if let end = words.prefix(2).first(where: { !$0.contains(":") }) {
      throw LabError(
        .usage, "fault \(kind.rawValue) takes \(wanted); \(end) names no interface, see: netloom show links \(end)")
    }
    return FaultCommand(kind: kind.rawValue, targets: Array(words.prefix(2)))
  }

  private func flap(_ words: [String]) throws -> FaultCommand {
    var command = try command(.flap, links: words, amount: nil)
    if let times, !FaultLimits.flapTimes.contains(times) {
      throw LabError(.usage, "fault flap --times \(times): from 1 to 100000 are possible")
    }
    command.times = times
    command.downMs = try milliseconds(down, "--down")
    command.upMs = try milliseconds(up, "--up")
    return command
  }

  private func milliseconds(_ time: TimeArgument?, _ option: String) throws -> Int64 {
    guard let time else { return 1000 }
    let milliseconds = (time.duration.inSeconds * 1000).rounded()
    let limits = FaultLimits.flapMilliseconds
    guard milliseconds >= Double(limits.lowerBound), milliseconds <= Double(limits.upperBound) else {
      throw LabError(
        .usage, "fault flap \(option): from \(limits.lowerBound)ms to \(limits.upperBound / 60_000)m are possible")
    }
    return Int64(milliseconds)
  }

  private func impairments(_ kind: FaultStep.Kind, _ words: [String]) throws -> [FaultCommand] {
    let example = [FaultStep.Kind.loss: "10%", .rate: "5mbit"][kind] ?? "50ms"
    var command = try command(kind, links: words, amount: "how much, such as \(example)")
    command.from = try sender(words)
    let amount = words[2]
    let refusal = LabError(
      .usage, "fault \(kind.rawValue): \(amount) is not how much; expected such as \(example), or 0")
    switch kind {
    case .loss:
      guard let percent = PercentArgument(argument: amount)?.percent else { throw refusal }
      command.percent = percent
    case .rate:
      guard let rate = amount == "0" ? 0 : RateArgument(argument: amount)?.bitsPerSecond else { throw refusal }
      command.bitsPerSecond = rate
    default:
      guard let time = amount == "0" ? 0 : TimeArgument(argument: amount)?.microseconds else { throw refusal }
      command.microseconds = time
    }
    guard let jitter else { return [command] }
    guard let varying = jitter.microseconds else { throw LabError(.usage, "fault delay --jitter: at most 10s") }
    var second = command
    second.kind = FaultStep.Kind.jitter.rawValue
    second.microseconds = varying
    return [command, second]
  }

  /// The node at the end that `--from` names.
  private func sender(_ words: [String]) throws -> String? {
    guard let from else { return nil }
    // The lab may stand before the first name.
    let ends = words.prefix(2).map { String($0.split(separator: "/", maxSplits: 1).last ?? "") }
    guard let end = ends.first(where: { $0 == from || $0.hasPrefix("\(from):") }) else {
      throw LabError(.usage, "--from \(from) is no end of this link; expected \(ends.joined(separator: " or "))")
    }
    return String(end.prefix { $0 != ":" })
  }

  /// `a,b c,d`: a group a word.
  private func partition(_ words: [String]) throws -> FaultCommand {
    let groups = words.map { $0.split(separator: ",").map(String.init) }
    guard groups.count > 1, groups.allSatisfy({ !$0.isEmpty }) else {
      throw LabError(.usage, "fault partition takes two groups of nodes or more, such as: a,b c,d")
    }
    var seen: Set<String> = []
    if let twice = groups.joined().first(where: { !seen.insert($0).inserted }) {
      throw LabError(.usage, "fault partition: \(twice) stands twice; expected each node in one group")
    }
    var command = FaultCommand(kind: FaultStep.Kind.partition.rawValue)
    command.groups = groups
    return command
  }

  private func checkOptions(_ kind: FaultStep.Kind) throws {
    let given: [(name: String, isGiven: Bool, kinds: [FaultStep.Kind])] = [
      ("--from", from != nil, [.loss, .delay, .jitter, .rate]), ("--jitter", jitter != nil, [.delay]),
      ("--times", times != nil, [.flap]), ("--down", down != nil, [.flap]), ("--up", up != nil, [.flap]),
    ]
    guard let stray = given.first(where: { $0.isGiven && !$0.kinds.contains(kind) }) else { return }
    let kinds = stray.kinds.map(\.rawValue).joined(separator: ", ")
    throw LabError(.usage, "\(stray.name) beside fault \(kind.rawValue); it belongs to \(kinds)")
  }
}

/// `10%`, `0.5%`: a part of a hundred.
struct PercentArgument: ExpressibleByArgument {
  let percent: Double

  init?(argument: String) {
    let digits = argument == "0" ? "0" : argument.hasSuffix("%") ? argument.dropLast() : ""
    guard let first = digits.first, first.isNumber, let value = Double(digits), (0...100).contains(value) else {
      return nil
    }
    percent = value
  }
}

extension TimeArgument {
  /// nil: longer than a packet can be delayed.
  fileprivate var microseconds: UInt32? {
    let microseconds = (duration.inSeconds * 1_000_000).rounded()
    return microseconds <= 10_000_000 ? UInt32(microseconds) : nil
  }
}
