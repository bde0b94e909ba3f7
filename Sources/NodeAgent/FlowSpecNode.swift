// Flow rules of the speaker → the chain `flowspec` of the kernel, and the answer to what is obeyed.

internal import BGPCore
internal import BGPSpeaker
internal import BGPWire
internal import ControlProtocol
internal import NetTypes
internal import Netlink
internal import Nftables

/// Addresses that flow rules redirect to. Each keeps its number while it is asked for.
struct FlowRedirects {
  private(set) var numbers: [IPAddress: UInt32] = [:]
  /// Those that a route leads to.
  private(set) var ways: [IPAddress: FlowRedirect] = [:]
  /// Rules that are active and not obeyed, and why.
  var refused: [FlowRule: String] = [:]
  /// What was wanted when the kernel refused some of it.
  var refusedWish: FlowSpecContents?

  /// - Parameter hops: that lead to an address now; nil: none do.
  mutating func resolve(_ addresses: Set<IPAddress>, _ hops: (IPAddress) throws(KernelError) -> [Route.Hop]?)
    throws(KernelError)
  {
    numbers = numbers.filter { addresses.contains($0.key) }
    ways = [:]
    for address in addresses.sorted() {
      let taken = Set(numbers.values)
      guard
        let number = numbers[address] ?? (0..<UInt32(PolicyPaths.mostRedirects)).first(where: { !taken.contains($0) })
      else { continue }
      numbers[address] = number
      guard let hops = try hops(address), !hops.isEmpty else { continue }
      ways[address] = FlowRedirect(number: number, family: address.family, hops: hops)
    }
  }
}

extension Node {
  /// What the speaker wants obeyed has changed. After a restart what stands stays until the speaker has decided.
  func flowSpecsChanged() {
    guard dataPlane != nil, let active = speaker?.activeFlowSpecs else { return }
    do throws(KernelError) {
      try flowRedirects.resolve(FlowSpecRules.redirects(active)) { address throws(KernelError) in
        try hops(to: address)
      }
    } catch {
      report("error", "flowspec", error.description)
    }
    let ways = flowRedirects.ways
    let compile = { (active: [ActiveFlowRule]) in
      FlowSpecRules(active) { ways[$0].map { RouteMark.redirect($0.number) } }
    }
    // What the kernel has refused once it refuses again: routes change more often than rules.
    let wanted = FlowSpecContents(compile(active), Set(ways.values))
    guard wanted != flowRedirects.refusedWish else { return }
    let standing = dataPlane?.flowSpecs ?? FlowSpecContents()
    let outcome = FlowSpecOutcome(active, standing, compile) { (rules) throws(Refusal) in
      try setFlowSpecs(FlowSpecContents(rules, Set(ways.values)))
    }
    flowRedirects.refused = outcome.refused
    flowRedirects.refusedWish = outcome.isFinal ? wanted : nil
    for event in outcome.events { report("error", "flowspec", event) }
  }

  /// Routes changed: what is redirected goes where they lead now.
  func redirectsMayHaveMoved() {
    guard !flowRedirects.numbers.isEmpty else { return }
    flowSpecsChanged()
  }

  /// The next hops of the route to an address, which is not this node's own.
  private func hops(to address: IPAddress) throws(KernelError) -> [Route.Hop]? {
    guard let view, let route = try view.socket.route(to: address), route.kind == .unicast else { return nil }
    return route.hops.compactMap { hop in
      guard let link = hop.link, view.links[link]?.canCarry == true else { return nil }
      return Route.Hop(hop.gateway ?? address, link: link, weight: hop.weight)
    }
  }

  /// Every rule that is held; counts are the kernel's.
  func answerFlowSpecs(_ query: NLQuery, limit: Int, _ reply: inout NLQueryReply) throws(KernelError) {
    guard let speaker else {
      reply.error = "no BGP speaker runs here"
      return
    }
    if !query.neighbor.isEmpty, speaker.peers(named: query.neighbor).isEmpty {
      reply.error = "no neighbor \(query.neighbor)"
      return
    }
    let views = speaker.flowSpecs(of: query.neighbor.isEmpty ? nil : query.neighbor)
    let table = try dataPlane?.readTables().table(BaseTable.id)
    let standing = (table?.chain(BaseChainName.flowspec.rawValue)?.rules ?? []).map(\.rule)
    reply.total = UInt64(views.count)
    reply.flowSpecs = views.dropFirst(Int(query.offset)).prefix(limit).map { view in
      var route = NLFlowSpecRoute(view)
      guard view.isActive else { return route }
      if dataPlane == nil {
        (route.active, route.inactiveBecause) = (false, "this speaker leaves the kernel alone")
      } else if let reason = flowRedirects.refused[view.rule] {
        (route.active, route.inactiveBecause) = (false, reason)
      }
      let counter = FlowSpecRules.counter(of: view.rule, in: standing)
      (route.packets, route.bytes) = (counter.packets, counter.bytes)
      return route
    }
  }
}

extension FlowSpecContents {
  init(_ compiled: FlowSpecRules, _ redirects: Set<FlowRedirect>) {
    self.init(rules: compiled.rules, chains: compiled.chains, redirects: redirects)
  }
}
