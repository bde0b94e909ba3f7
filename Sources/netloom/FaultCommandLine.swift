import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient
import Topology

struct FaultCommandLine: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fault",
    abstract: "Break something, or make it whole again: the words of a test's `fault` step.",
    discussion: """
      EXAMPLES:
        netloom fault link-down customer:eth1 isp1:eth1
        netloom fault link-up customer:eth1 isp1:eth1
        netloom fault kill isp1                  the node; start makes it run again
        netloom fault kill-speaker isp1          its BGP process only
        netloom fault reset-session customer isp1
        netloom fault kill-controller
      """)

  @Argument(help: "link-down, link-up, kill, start, kill-speaker, reset-session, kill-controller.")
  var kind: String

  @Argument(help: "Both ends of the link (NODE:IFACE), or the node, or node and neighbor.")
  var targets: [String] = []

  @OptionGroup var common: CommonOptions

  private static let notYet: Set<String> = ["flap", "loss", "delay", "partition"]

  func run() async throws {
    if Self.notYet.contains(kind) { throw LabError(.usage, "fault \(kind) is not there yet in this version") }
    let known = FaultStep.Kind.allCases.map(\.rawValue)
    guard let fault = FaultStep.Kind(rawValue: kind) else {
      let hint =
        nearest(to: kind, in: known).map { "did you mean \($0)?" } ?? "known are \(known.joined(separator: ", "))"
      throw LabError(.usage, "there is no fault \(kind); \(hint)")
    }
    let wanted = Self.targetCount(fault)
    guard targets.count == wanted else {
      throw LabError(.usage, "fault \(kind) takes \(Self.targetWords(fault)); \(targets.count) given")
    }
    try checkEnds(fault)
    let (lab, names) = try common.find(all: targets)
    if fault == .killSpeaker { try await checkSpeaker(names[0], in: lab) }
    try await lab.naming { try await $0.fault(FaultCommand(kind: kind, targets: names)) }
    if common.json { try Output.json(Done()) }
  }

  /// A node alone does not say which of its links.
  private func checkEnds(_ kind: FaultStep.Kind) throws {
    guard kind == .linkDown || kind == .linkUp, let end = targets.first(where: { !$0.contains(":") }) else { return }
    throw LabError(
      .usage,
      "fault \(kind.rawValue) takes \(Self.targetWords(kind)); \(end) names no interface, see: "
        + "netloom show links \(end)")
  }

  /// As a step of a test: what speaks no BGP has no speaker to kill.
  private func checkSpeaker(_ name: String, in lab: Lab) async throws {
    guard let node = try await lab.naming({ try await $0.topology() }).nodes.first(where: { $0.name == name }),
      node.asn == nil, NodeKind(rawValue: node.kind)?.isDaemon != true
    else { return }
    throw LabError(.usage, "fault kill-speaker: \(name) speaks no BGP; expected a router with an asn")
  }

  private static func targetCount(_ kind: FaultStep.Kind) -> Int {
    switch kind {
    case .linkDown, .linkUp, .resetSession: 2
    case .flap, .loss, .delay, .jitter, .rate: 3
    case .kill, .start, .killSpeaker: 1
    case .killController, .partition: 0
    }
  }

  private static func targetWords(_ kind: FaultStep.Kind) -> String {
    switch kind {
    case .linkDown, .linkUp: "both ends of the link, NODE:IFACE NODE:IFACE"
    case .resetSession: "a node and its neighbor"
    case .flap, .loss, .delay, .jitter, .rate: "both ends of the link, NODE:IFACE NODE:IFACE, and how much"
    case .kill, .start, .killSpeaker: "one node"
    case .killController, .partition: "nothing"
    }
  }
}

extension Lab {
  /// Asks the controller; a name that it does not know gets the nearest one that there is.
  func naming<Answer>(_ ask: (NorthboundClient) async throws -> Answer) async throws -> Answer {
    do {
      return try await ask(client)
    } catch let error as APIError
      where error.code == "not-found" && error.diagnostics == nil && !error.message.contains("did you mean")
    {
      guard let suggestion = await suggestion(for: error) else { throw error }
      throw APIError(code: error.code, message: "\(error.message); did you mean \(suggestion)?")
    }
  }

  /// Asks about one node. A stopped one has no answer, though its namespace may still stand; of one without a speaker
  /// is said that it has none.
  func reading<Answer>(_ node: String, _ ask: (NorthboundClient) async throws -> Answer) async throws -> Answer {
    try await refuseStopped(node)
    do {
      return try await naming(ask)
    } catch let error as APIError where error.code == "invalid" {
      let nodes = (try? await client.topology())?.nodes ?? []
      guard let kind = nodes.first(where: { $0.name == node }).flatMap({ NodeKind(rawValue: $0.kind) }), !kind.forwards
      else { throw error }
      throw LabError(.usage, "\(node) is a \(kind.rawValue): it speaks no BGP; see: netloom show routes \(node)")
    }
  }

  /// Asks about what a node does with packets, which has nothing to do with BGP.
  func readingFunctions<Answer>(
    of node: String, _ ask: (NorthboundClient) async throws -> Answer
  ) async throws -> Answer {
    try await refuseStopped(node)
    return try await naming(ask)
  }

  private func refuseStopped(_ node: String) async throws {
    guard try await client.status().nodes.contains(where: { $0.name == node && $0.state == "stopped" }) else { return }
    throw LabError(.environment, "\(node) is stopped; it runs again after: netloom fault start \(node)")
  }

  /// The word of the message that is nearly a name of the lab.
  private func suggestion(for error: APIError) async -> String? {
    guard let topology = try? await client.topology() else { return nil }
    let nodes = topology.nodes.map(\.name)
    let names = nodes + topology.links.flatMap(\.endpoints)
    let words = error.message.split { !$0.isLetter && !$0.isNumber && $0 != "-" && $0 != ":" }.map(String.init)
    for word in words where !names.contains(word) && word.count > 1 {
      if let close = nearest(to: word, in: names) { return close }
    }
    return nil
  }
}
