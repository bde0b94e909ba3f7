internal import ControlProtocol
internal import Foundation
internal import Intent
internal import NIOCore
internal import NetTypes
public import NorthboundAPI
internal import Topology

/// Questions about one node, passed on to its agent.
extension LabController {
  public func routes(of name: String, prefix: String?) async throws -> [KernelRoute] {
    let node = try find(name)
    guard node.hasAgentConnection(agents) else { return try await agentlessRoutes(of: name, within: prefix) }
    var routes: [KernelRoute] = []
    let answers = Answers(node: name, book: book)
    while true {
      var query = try query(.routes, prefix: prefix)
      query.limit = 10_000
      query.offset = UInt32(routes.count)
      let reply = try await question(name, query)
      routes += reply.routes.map(answers.kernelRoute)
      if reply.routes.isEmpty || UInt64(routes.count) >= reply.total { return routes }
    }
  }

  public func bgp(
    of name: String, prefix: String?, neighbor: String?, limit: UInt32, offset: UInt32
  ) async throws -> BGPTable {
    var query = try query(.bgp, prefix: prefix)
    query.neighbor = neighbor ?? ""
    query.limit = limit
    query.offset = offset
    let reply = try await question(name, query)
    let answers = Answers(node: name, book: book)
    return BGPTable(node: name, total: reply.total, routes: reply.bgp.map(answers.bgpRoute))
  }

  public func neighbors(of name: String) async throws -> [NeighborDetail] {
    let reply = try await question(name, query(.neighbors, prefix: nil))
    let answers = Answers(node: name, book: book)
    let now = bootTimeMilliseconds()
    return reply.neighbors.map { answers.neighbor($0, now: now) }
  }

  public func links(of name: String) async throws -> [LinkDetail] {
    let node = try find(name)
    let answers = Answers(node: name, book: book)
    let states = try await linkStates(of: node)
    let impairments = await impairments(of: node, states)
    return states.map { state in
      let far = node.interfaces.first { $0.name == state.interface }
      var link = answers.link(state, peer: far.map { "\($0.farNode):\($0.farInterface)" })
      link.impairment = impairments[state.interface]
      return link
    }
  }

  func linkStates(of node: ResolvedNode) async throws -> [NLLinkState] {
    guard node.hasAgentConnection(agents) else {
      return machine.state.links.filter { $0.node == node.name }.map(\.link)
    }
    return try await question(node.name, query(.links, prefix: nil)).links
  }

  /// `prefix`: a prefix or an address; the longest match answers.
  public func explain(node name: String, prefix: String) async throws -> RouteExplanation {
    let reply = try await question(name, query(.explain, prefix: prefix))
    return Answers(node: name, book: book).explanation(reply.explanation)
  }

  // MARK: -

  func find(_ name: String) throws -> ResolvedNode {
    if let node = lab.node(name) { return node }
    let hint = nearestName(to: name, in: lab.nodes.map(\.name)).map { "; did you mean \($0)?" } ?? ""
    throw APIError(code: "not-found", message: "lab \(lab.name) has no node \(name)\(hint)")
  }

  func question(_ name: String, _ query: NLQuery) async throws -> NLQueryReply {
    let node = try find(name)
    guard let agent = agents[name] else {
      throw APIError(code: "invalid", message: "\(name) is a \(node.kind.rawValue): it has no routing table of its own")
    }
    guard let id = agent.connection else {
      throw APIError(code: "unavailable", message: "the agent of \(name) is not connected")
    }
    let answer = try await ask(id, .query(query), timeout: .seconds(10), whom: name)
    guard case .queryReply(let reply) = answer else {
      throw APIError(code: "internal", message: "\(name) answered something else")
    }
    if !reply.error.isEmpty { throw APIError(code: "invalid", message: "\(name): \(reply.error)") }
    return reply
  }

  func query(_ kind: NLQuery.Kind, prefix: String?) throws -> NLQuery {
    var query = NLQuery()
    query.kind = kind
    guard let text = prefix else { return query }
    if let prefix = IPPrefix(text) {
      query.prefix = NLPrefix(prefix)
    } else if let address = IPAddress(text), let prefix = IPPrefix(address, length: address.family.bits) {
      query.prefix = NLPrefix(prefix)
    } else {
      throw APIError(code: "invalid", message: "\(text) is neither a prefix nor an address")
    }
    return query
  }

  /// Hosts and switches have no agent: iproute2 in the node tells.
  private func agentlessRoutes(of name: String, within prefix: String?) async throws -> [KernelRoute] {
    let limit = try prefix.map { _ in try query(.routes, prefix: prefix).prefix.text }.flatMap { IPPrefix($0) }
    var found: [KernelRoute] = []
    for family in ["-4", "-6"] {
      let result = try await exec(
        ExecCommand(argv: ["ip", family, "-j", "route", "show", "table", "main"], timeoutMs: 5000), in: name)
      guard result.exit == 0 else {
        throw APIError(code: "internal", message: "\(name): ip route: \(result.errorOutput)")
      }
      let rows = try? JSONDecoder().decode([IPRouteRow].self, from: Data(result.output.utf8))
      found += (rows ?? []).map { $0.route(book, name) }
    }
    guard let limit else { return found }
    return found.filter { IPPrefix($0.prefix).map(limit.contains) ?? false }
  }
}

extension ResolvedNode {
  func hasAgentConnection(_ agents: [String: LabController.Agent]) -> Bool { agents[name] != nil }
}

/// A row of `ip -j route`, as far as it is shown.
private struct IPRouteRow: Decodable {
  var type: String?
  var dst: String
  var gateway: String?
  var dev: String?
  var `protocol`: String?
  var metric: UInt32?

  func route(_ book: AddressBook, _ node: String) -> KernelRoute {
    var prefix = dst == "default" ? (gateway?.contains(":") == true ? "::/0" : "0.0.0.0/0") : dst
    if !prefix.contains("/") { prefix += prefix.contains(":") ? "/128" : "/32" }
    let owner = gateway.flatMap { IPAddress($0) }.flatMap { book.owner(of: $0, from: node) }
    let hop = RouteNextHop(
      address: gateway, interface: dev, node: owner ?? dev.flatMap { book.neighbor(of: node, across: $0) }, weight: 1)
    let known = ["kernel", "static", "bgp"]
    return KernelRoute(
      prefix: prefix, kind: type ?? "unicast", nextHops: [hop],
      proto: `protocol`.map { known.contains($0) ? $0 : "other" } ?? "other", metric: metric ?? 0)
  }
}

/// Milliseconds of CLOCK_BOOTTIME, the clock of `NLSessionSample.establishedMs`.
func bootTimeMilliseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_BOOTTIME, &time)
  return UInt64(max(0, time.tv_sec)) * 1000 + UInt64(max(0, time.tv_nsec)) / 1_000_000
}

/// The name that was probably meant; nil when none is close.
func nearestName(to written: String, in names: [String]) -> String? {
  let scored = names.map { (name: $0, distance: editDistance(written, $0)) }
  guard let best = scored.min(by: { $0.distance < $1.distance }), best.distance <= max(1, written.count / 3) else {
    return nil
  }
  return best.name
}

/// Levenshtein distance.
private func editDistance(_ a: String, _ b: String) -> Int {
  let b = Array(b)
  var row = Array(0...b.count)
  for (i, left) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, right) in b.enumerated() {
      let substituted = diagonal + (left == right ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substituted, row[j] + 1, row[j + 1] + 1)
    }
  }
  return row[b.count]
}
