internal import ControlProtocol
internal import NIOCore
public import NorthboundAPI
internal import Topology

/// What nodes do with packets, read from their kernels at the time of the question. A node without an agent does
/// nothing of it, and says so by empty lists.
extension LabController {
  /// Most entries of one answer of an agent.
  private static let page: UInt32 = 5000

  public func nat(of name: String) async throws -> NodeRules { try await rules(of: name, .nat) }

  public func filter(of name: String) async throws -> NodeRules { try await rules(of: name, .filter) }

  private func rules(of name: String, _ kind: NLQuery.Kind) async throws -> NodeRules {
    let rules = try await pages(of: name, kind) { $0.rules }
    return NodeRules(node: name, rules: rules.map(RuleEntry.init))
  }

  public func connections(of name: String, limit: UInt32, offset: UInt32) async throws -> NodeConnections {
    var query = NLQuery()
    query.kind = .conntrack
    query.limit = limit
    query.offset = offset
    guard let reply = try await functionsReply(of: name, query) else {
      return NodeConnections(node: name, connections: [], total: 0, limit: 0)
    }
    return NodeConnections(
      node: name, connections: reply.connections.map(ConnectionEntry.init), total: reply.total,
      limit: reply.connectionLimit)
  }

  public func qos(of name: String) async throws -> NodeQoS {
    let states = try await pages(of: name, .qos) { $0.qos }
    return NodeQoS(node: name, interfaces: states.map(InterfaceQoS.init))
  }

  public func flowSpecs(of name: String) async throws -> NodeFlowSpecs {
    let rules = try await pages(of: name, .flowspec) { $0.flowSpecs }
    return NodeFlowSpecs(node: name, rules: rules.map(FlowSpecEntry.init))
  }

  /// Everything, however many answers it takes; a list that ends early has changed meanwhile.
  private func pages<Element>(
    of name: String, _ kind: NLQuery.Kind, _ part: (NLQueryReply) -> [Element]
  ) async throws -> [Element] {
    var query = NLQuery()
    query.kind = kind
    query.limit = Self.page
    var all: [Element] = []
    while let reply = try await functionsReply(of: name, query) {
      let some = part(reply)
      all += some
      query.offset = UInt32(all.count)
      if some.isEmpty || UInt64(all.count) >= reply.total { break }
    }
    return all
  }

  /// nil: the node has no agent.
  private func functionsReply(of name: String, _ query: NLQuery) async throws -> NLQueryReply? {
    _ = try find(name)
    return agents[name] == nil ? nil : try await question(name, query)
  }
}
