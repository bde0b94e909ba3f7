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
        netloom fault flap customer:eth1 isp1:eth1 --times 5 --down 200ms --up 800ms
        netloom fault loss customer:eth1 isp1:eth1 10%               both ways
        netloom fault loss customer:eth1 isp1:eth1 10% --from isp1   only what isp1 sends; 0% takes it away
        netloom fault delay isp2:eth3 web:eth1 50ms --jitter 5ms     on a link that declares `delay:`
        netloom fault rate customer:eth1 isp1:eth1 5mbit
        netloom fault partition h1,customer isp1,isp2                links between the groups go down
        netloom fault kill isp1                  the node; start makes it run again
        netloom fault kill-speaker isp1          its BGP process only
        netloom fault reset-session customer isp1
        netloom fault kill-controller
        netloom fault mend                       everything that stands: links, nodes, impairments
      """)

  @Argument(
    help: ArgumentHelp(
      (FaultStep.Kind.allCases.map(\.rawValue) + [Self.mend]).joined(separator: ", ") + "."),
    completion: .list(FaultStep.Kind.allCases.map(\.rawValue) + [Self.mend]))
  var kind: String

  @Argument(help: "Both ends of the link (NODE:IFACE) and how much, or the node, or node and neighbor, or groups.")
  var targets: [String] = []

  @OptionGroup var arguments: FaultArguments
  @OptionGroup var common: CommonOptions

  /// No fault of a test: tests are mended when they end.
  private static let mend = "mend"

  func run() async throws {
    if kind == Self.mend {
      guard targets.isEmpty else {
        throw LabError(.usage, "fault mend takes nothing more; it mends everything that stands")
      }
      try await common.find().naming { try await $0.mend() }
    } else {
      try await carryOut()
    }
    if common.json { try Output.json(Done()) }
  }

  private func carryOut() async throws {
    let known = FaultStep.Kind.allCases.map(\.rawValue) + [Self.mend]
    guard let fault = FaultStep.Kind(rawValue: kind) else {
      let hint =
        nearest(to: kind, in: known).map { "did you mean \($0)?" } ?? "known are \(known.joined(separator: ", "))"
      throw LabError(.usage, "there is no fault \(kind); \(hint)")
    }
    // First what needs no lab.
    _ = try arguments.commands(fault, targets)
    let (lab, names) = try common.find(all: targets)
    let commands = try arguments.commands(fault, names)
    if fault == .killSpeaker { try await checkSpeaker(names[0], in: lab) }
    for command in commands { try await lab.naming { try await $0.fault(command) } }
  }

  /// As a step of a test: what speaks no BGP has no speaker to kill.
  private func checkSpeaker(_ name: String, in lab: Lab) async throws {
    guard let node = try await lab.naming({ try await $0.topology() }).nodes.first(where: { $0.name == name }),
      node.asn == nil, NodeKind(rawValue: node.kind)?.isDaemon != true
    else { return }
    throw LabError(.usage, "fault kill-speaker: \(name) speaks no BGP; expected a router with an asn")
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
