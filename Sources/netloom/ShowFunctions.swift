import Lab
import NorthboundAPI
import NorthboundClient

// What a node does with packets beside routing them, as its kernel has it.
extension ShowCommand {
  /// `nat` and `filter`
  func showRules(_ lab: Lab, _ name: String) async throws {
    let answer = try await lab.readingFunctions(of: name) {
      what == "nat" ? try await $0.nat(of: name) : try await $0.filter(of: name)
    }
    if common.json { return try Output.json(answer) }
    show(Self.table(answer.rules), otherwise: "\(name) has no \(what) rules")
  }

  func showConnections(_ lab: Lab, _ name: String) async throws {
    let answer = try await lab.readingFunctions(of: name) { try await $0.allConnections(of: name) }
    if common.json { return try Output.json(answer) }
    var table = Table("PROTO", "STATE", "ORIGINAL", "REPLY", "TRANSLATED", ">PACKETS", ">REPLIES", ">TIMEOUT")
    for connection in answer.connections {
      table.add(
        connection.proto, connection.state ?? connection.status.first, Self.text(connection.original),
        Self.text(connection.reply), connection.nat.flatMap { Self.text($0) }, "\(connection.original.packets)",
        "\(connection.reply.packets)", "\(connection.timeout) s")
    }
    show(table, otherwise: "\(name) follows no connections")
    if !table.isEmpty { Output.line(palette.dim("\(answer.total) of at most \(answer.limit)")) }
  }

  func showQoS(_ lab: Lab, _ name: String) async throws {
    let answer = try await lab.readingFunctions(of: name) { try await $0.qos(of: name) }
    if common.json { return try Output.json(answer) }
    let busy = answer.interfaces.filter { common.appearance.verbose || Self.isShaped($0) }
    if busy.isEmpty { return Output.line("\(name) neither shapes nor polices") }
    for (index, interface) in busy.enumerated() {
      Output.line((index == 0 ? "" : "\n") + palette.bold(interface.interface))
      if !interface.classes.isEmpty { show(Self.table(interface.classes), otherwise: "") }
      show(Self.table(interface.qdiscs), otherwise: "")
      if !interface.rules.isEmpty { show(Self.table(interface.rules), otherwise: "") }
    }
  }

  func showFlowSpecs(_ lab: Lab, _ name: String) async throws {
    let answer = try await lab.readingFunctions(of: name) { try await $0.flowSpecs(of: name) }
    if common.json { return try Output.json(answer) }
    var table = Table("", "FAMILY", "RULE", "ACTIONS", "FROM", "AS PATH", ">PACKETS", ">BYTES", "BECAUSE")
    for rule in answer.rules {
      table.add(
        rule.active ? ">" : "!", rule.family, rule.rule, rule.actions.joined(separator: ", "),
        rule.neighbor ?? "itself", rule.asPath.map(String.init).joined(separator: " "), "\(rule.packets)",
        "\(rule.bytes)", rule.inactiveBecause)
    }
    show(table, otherwise: "\(name) has no FlowSpec rules")
    if !table.isEmpty { Output.line(palette.dim("> in the kernel, ! not used")) }
  }

  /// The kernel gives every interface a queue; only what somebody set up is worth a line without -v.
  private static func isShaped(_ interface: InterfaceQoS) -> Bool {
    !interface.classes.isEmpty || !interface.rules.isEmpty
      || interface.qdiscs.contains { !["noqueue", "pfifo_fast", "fq_codel", "mq"].contains($0.kind) }
  }

  private static func table(_ rules: [RuleEntry]) -> Table {
    var table = Table("CHAIN", "RULE", ">PACKETS", ">BYTES", ">HANDLE", "PLACE")
    for rule in rules {
      table.add(rule.chain, rule.rule, "\(rule.packets)", "\(rule.bytes)", "\(rule.handle)", rule.place)
    }
    return table
  }

  private static func table(_ classes: [ClassEntry]) -> Table {
    var table = Table(
      "CLASS", "PARENT", "NAME", ">RATE", ">CEIL", ">BURST", ">PRIORITY", ">PACKETS", ">BYTES", ">DROPS", ">BACKLOG",
      ">LENDS", ">BORROWS")
    for entry in classes {
      table.add(
        entry.handle, entry.parent, entry.name, rateText(entry.rate), rateText(entry.ceil), "\(entry.burst)",
        "\(entry.priority)", "\(entry.counters.packets)", "\(entry.counters.bytes)", "\(entry.counters.drops)",
        backlog(entry.counters), "\(entry.lends)", "\(entry.borrows)")
    }
    return table
  }

  private static func table(_ qdiscs: [QdiscEntry]) -> Table {
    var table = Table("QDISC", "HANDLE", "PARENT", ">PACKETS", ">BYTES", ">DROPS", ">OVERLIMITS", ">BACKLOG", "OPTIONS")
    for entry in qdiscs {
      table.add(
        entry.kind, entry.handle, entry.parent, "\(entry.counters.packets)", "\(entry.counters.bytes)",
        "\(entry.counters.drops)", "\(entry.counters.overlimits)", backlog(entry.counters), entry.options)
    }
    return table
  }

  private static func backlog(_ counters: QueueCounters) -> String {
    counters.backlogPackets == 0 ? "0" : "\(counters.backlogBytes) b, \(counters.backlogPackets) p"
  }

  /// `192.168.1.2:40000 → 198.51.100.2:80`
  private static func text(_ tuple: ConnectionTuple) -> String {
    func end(_ address: String, _ port: UInt32?) -> String {
      guard let port else { return address }
      return address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
    return end(tuple.source, tuple.sourcePort) + " → " + end(tuple.destination, tuple.destinationPort)
  }

  private static func text(_ rewrite: TracedRewrite) -> String? {
    let parts = [
      rewrite.source.map { "source \($0.from) → \($0.to)" },
      rewrite.destination.map { "destination \($0.from) → \($0.to)" },
    ].compactMap(\.self)
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }
}
