public import BGPCore

// Flow rules (RFC 8955) for whoever writes them into the kernel, and for questions.

extension Speaker {
  /// The rules to obey, in the order in which packets are asked of them; nil: not known yet, since selection is
  /// deferred after a restart (RFC 4724 section 4.1). What stands in the kernel stays until it is.
  public var activeFlowSpecs: [ActiveFlowRule]? {
    table.isDeferring ? nil : table.activeFlowRules()
  }

  /// Changes with `activeFlowSpecs`.
  public var flowSpecVersion: UInt64 { table.flowVersion }

  /// Every rule that is held, obeyed or not, with the reason where it is not.
  /// - Parameter neighbor: `PeerSettings.name` or `.session`: only what it sent; nil: all.
  public func flowSpecs(of neighbor: String? = nil) -> [FlowRuleView] {
    guard let neighbor else { return table.flowRules() }
    let peers = peers(named: neighbor)
    return peers.isEmpty ? [] : table.flowRules(of: peers)
  }
}
