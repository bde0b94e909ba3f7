internal import ControlProtocol
internal import Intent
internal import NorthboundAPI
internal import Topology

// What links are to do to packets, and what they did: the relays of netloom-machine count what they delay, the far end's
// chain `loss` what it loses, the own end's queue what a rate holds back.

extension LabController {
  /// Of what leaves the node, by interface; links that do nothing to packets have none. What cannot be asked at present is
  /// left out of `achieved`.
  func impairments(of node: ResolvedNode, _ states: [NLLinkState]) async -> [String: ImpairmentDetail] {
    var wanted: [String: ImpairmentDetail] = [:]
    for interface in node.interfaces { wanted[interface.name] = impairment(leaving: node, interface) }
    guard !wanted.isEmpty else { return [:] }
    let carried = await carried(node.interfaces.filter { wanted[$0.name] != nil }.map(\.link))
    var arriving: [String: [NLLinkState]] = [:]
    for interface in node.interfaces {
      guard var detail = wanted[interface.name] else { continue }
      if let link = carried[interface.link] {
        let isA = lab.links[interface.link].a.name == "\(node.name):\(interface.name)"
        detail.achieved.set(isA ? link.aToB : link.bToA)
      }
      if detail.lossPercent > 0, let far = lab.node(interface.farNode) {
        if arriving[far.name] == nil { arriving[far.name] = (try? await linkStates(of: far)) ?? [] }
        let state = arriving[far.name]?.first { $0.interface == interface.farInterface }
        if let state, state.hasLoss {
          (detail.achieved.offered, detail.achieved.lost) = (state.loss.offered, state.loss.lost)
        }
      }
      if detail.rate != nil, node.hasAgentConnection(agents) {
        detail.achieved.rateDropped = states.first { $0.interface == interface.name }?.rateDropped
      }
      wanted[interface.name] = detail
    }
    return wanted
  }

  /// What is asked of one direction; nil: nothing.
  private func impairment(leaving node: ResolvedNode, _ interface: ResolvedInterface) -> ImpairmentDetail? {
    let link = lab.links[interface.link]
    let faults = state.faults.directions
    let leaving = faults["\(node.name):\(interface.name)"]
    guard link.impairment != nil || leaving != nil else { return nil }
    let delay = intent.delay(of: link, fault: leaving ?? DirectionFault())
    let lossPPM = lab.node(interface.farNode).flatMap { far in
      intent.impairments(of: far, faults: faults).first { $0.interface == interface.farInterface }?.lossPpm
    }
    let rate = intent.impairments(of: node, faults: faults).first { $0.interface == interface.name }?.rate ?? 0
    return ImpairmentDetail(
      delayMs: Double(delay.delayUs) / 1000, jitterMs: Double(delay.jitterUs) / 1000,
      lossPercent: Double(lossPPM ?? 0) / 10_000, rate: rate > 0 ? rate : nil, achieved: AchievedImpairment())
  }

  /// By the link's index in the lab.
  private func carried(_ links: [Int]) async -> [Int: NLLinkCounters] {
    let delayed = links.filter { lab.links[$0].impairment?.canDelay == true }
    guard !delayed.isEmpty else { return [:] }
    var order = NLCountLinks()
    order.links = delayed.map(UInt32.init)
    guard let reply = try? await command(.countLinks(order)) else { return [:] }
    return Dictionary(reply.links.map { (Int($0.link), $0) }) { $1 }
  }
}

extension AchievedImpairment {
  fileprivate mutating func set(_ counters: NLRelayCounters) {
    (packets, dropped) = (counters.packets, counters.dropped)
    guard counters.packets > 0 else { return }
    lateMedianMs = Double(counters.lateMedianNs) / 1_000_000
    lateP99Ms = Double(counters.lateP99Ns) / 1_000_000
    lateMaxMs = Double(counters.lateMaxNs) / 1_000_000
  }
}
