internal import Intent
internal import NetTypes
public import NorthboundAPI
internal import Topology

/// The verdict "no transit": no RIB outside holds, and no packet takes, a path through the AS between two others.
extension LabController {
  private static let tracedPairs = 8
  private static let tracedLeaks = 4

  /// Throws `APIError` when the question does not fit the lab; a flow that could not be judged makes the result
  /// undecided, which is no pass.
  public func noTransit(_ query: NoTransitQuery) async throws -> NoTransitResult {
    try await noTransit(query, .folder(query.directory), tables: nil)
  }

  /// - Parameter tables: all RIBs, where they have been read already.
  func noTransit(_ query: NoTransitQuery, _ captures: Captures, tables: LabTables?) async throws -> NoTransitResult {
    let node = try find(query.node)
    guard let asn = node.asn?.rawValue else {
      throw APIError(code: "invalid", message: "\(node.name) has no AS number")
    }
    guard query.except == nil || query.except == "customers" else {
      throw APIError(code: "invalid", message: "except is \(query.except ?? ""), expected customers")
    }
    let check = TransitCheck(asn: asn, exceptCustomers: query.except != nil, lab: lab, book: book)
    var undecided: [String] = []
    let leaks = if let tables { tables.leaks(check) } else { await leakedRoutes(check, &undecided) }
    var transits: [Trace] = []
    let flows = flows(check, leaks)
    for (flow, result) in zip(flows, await traces(of: flows, captures)) {
      switch result {
      case .success(let trace):
        if let reason = trace.undecided { undecided.append("\(flow.from) to \(flow.to): \(reason)") }
        if check.isTransit(nodes: trace.forward.path) || check.isTransit(nodes: trace.return.path) {
          transits.append(trace)
        } else if trace.undecided == nil {
          Self.discardCapture(of: trace)
        }
      case .failure(let error):
        undecided.append("\(flow.from) to \(flow.to): \((error as? APIError)?.message ?? "\(error)")")
      }
    }
    let reason = undecided.isEmpty ? nil : undecided.joined(separator: "; ")
    return NoTransitResult(
      holds: leaks.isEmpty && transits.isEmpty && reason == nil, undecided: reason, asn: asn, leaks: leaks,
      transits: transits, traced: flows.count)
  }

  /// Best routes first, then what else is usable.
  private func leakedRoutes(_ check: TransitCheck, _ undecided: inout [String]) async -> [LeakedRoute] {
    var found: [LeakedRoute] = []
    for viewer in lab.nodes {
      guard let asn = viewer.asn?.rawValue, asn != check.asn, agents[viewer.name] != nil, viewer.bgp != nil,
        !outage.nodes.contains(viewer.name)
      else { continue }
      do {
        for route in try await wholeTable(of: viewer.name) where check.isLeak(route, seenFrom: asn) {
          found.append(
            LeakedRoute(node: viewer.name, prefix: route.prefix, asPath: route.asPath, best: route.best))
        }
      } catch {
        undecided.append("the RIB of \(viewer.name) cannot be read: \((error as? APIError)?.message ?? "\(error)")")
      }
    }
    return found.filter(\.best) + found.filter { !$0.best }
  }

  func wholeTable(of node: String) async throws -> [BGPRoute] {
    var routes: [BGPRoute] = []
    while true {
      let page = try await bgp(
        of: node, prefix: nil, neighbor: nil, limit: 10_000, offset: UInt32(routes.count))
      routes += page.routes
      if page.routes.isEmpty || UInt64(routes.count) >= page.total { return routes }
    }
  }

  /// Along the leaks, then between other ASes: each flow once, and only between nodes that run.
  private func flows(_ check: TransitCheck, _ leaks: [LeakedRoute]) -> [Flow] {
    var flows: [Flow] = []
    for leak in leaks where leak.best && flows.count < Self.tracedLeaks {
      guard let prefix = IPPrefix(leak.prefix), let holder = check.holder(of: prefix, in: lab),
        holder.node != leak.node
      else { continue }
      let flow = Flow(from: leak.node, to: holder.address.description)
      if !flows.contains(flow) { flows.append(flow) }
    }
    for pair in check.pairs(lab, limit: Self.tracedPairs) {
      guard innerPID(pair.from) != nil, innerPID(pair.to) != nil else { continue }
      let flow = Flow(from: pair.from, to: pair.to)
      if !flows.contains(flow) { flows.append(flow) }
    }
    return flows
  }
}
