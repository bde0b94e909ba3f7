// Flow rules of the speaker → the chain `flowspec` of the kernel, and the answer to what is obeyed.

internal import BGPCore
internal import BGPSpeaker
internal import BGPWire
internal import ControlProtocol
internal import NetTypes
internal import Netlink
internal import Nftables

extension Node {
  /// What the speaker wants obeyed has changed. After a restart what stands stays until the speaker has decided.
  func flowSpecsChanged() {
    guard dataPlane != nil, let active = speaker?.activeFlowSpecs else { return }
    do throws(Refusal) {
      try setFlowSpecs(FlowSpecContents(FlowSpecRules(active)))
    } catch {
      report("error", "flowspec", error.description)
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
    let refused = FlowSpecRules(speaker.activeFlowSpecs ?? []).refused
    let table = try dataPlane?.readTables().table(BaseTable.id)
    let standing = (table?.chain(BaseChainName.flowspec.rawValue)?.rules ?? []).map(\.rule)
    reply.total = UInt64(views.count)
    reply.flowSpecs = views.dropFirst(Int(query.offset)).prefix(limit).map { view in
      var route = NLFlowSpecRoute(view)
      guard view.isActive else { return route }
      if dataPlane == nil {
        (route.active, route.inactiveBecause) = (false, "this speaker leaves the kernel alone")
      } else if let reason = refused[view.rule] {
        (route.active, route.inactiveBecause) = (false, reason)
      }
      let counter = FlowSpecRules.counter(of: view.rule, in: standing)
      (route.packets, route.bytes) = (counter.packets, counter.bytes)
      return route
    }
  }
}

extension FlowSpecContents {
  init(_ compiled: FlowSpecRules) {
    self.init(rules: compiled.rules, chains: compiled.chains)
  }
}
