/// The decision process (RFC 4271 section 9.1.2): which of two paths is better, and by which rule.
///
/// The rules are lexicographic, so without MED they are a total order. MED compares only paths of one neighboring AS,
/// which makes "better" intransitive when it is asked pair by pair in order of arrival. Therefore: first the best of each
/// neighboring AS, MED included; then those winners among each other, MED left out. Either stage is a total order, so
/// the result depends on the candidates alone, never on when they came; there is no "oldest" rule.
enum Decision {
  /// What the last rules need to know of peers and next hops.
  struct Facts {
    var igpCost: UInt32
    var routerID: UInt32
    var addressHigh: UInt64
    var addressLow: UInt64
    var peer: UInt16
  }

  /// Rules from weight to eBGP over iBGP: whether `a` is the better one, and by which; nil: equal so far.
  /// - Parameter withMED: for paths of one neighboring AS.
  @inline(__always) static func compareAttributes(
    _ a: PathTable.Record, _ b: PathTable.Record, withMED: Bool
  ) -> (aIsBetter: Bool, reason: BestPathReason)? {
    if a.weight != b.weight { return (a.weight > b.weight, .weight) }
    if a.localPref != b.localPref { return (a.localPref > b.localPref, .localPref) }
    if (a.source == .local) != (b.source == .local) { return (a.source == .local, .localOrigin) }
    if a.pathLength != b.pathLength { return (a.pathLength < b.pathLength, .asPathLength) }
    if a.origin != b.origin { return (a.origin < b.origin, .origin) }
    if withMED && a.med != b.med { return (a.med < b.med, .med) }
    if a.source != b.source { return (a.source == .ebgp, .ebgpOverIbgp) }
    return nil
  }

  /// The rules after those.
  static func compareLast(
    _ a: Facts, _ b: Facts, _ aClusters: UInt16, _ bClusters: UInt16
  ) -> (aIsBetter: Bool, reason: BestPathReason) {
    if a.igpCost != b.igpCost { return (a.igpCost < b.igpCost, .igpCost) }
    if a.routerID != b.routerID { return (a.routerID < b.routerID, .routerID) }
    if aClusters != bClusters { return (aClusters < bClusters, .clusterListLength) }
    let aAddress = (a.addressHigh, a.addressLow, a.peer)
    let bAddress = (b.addressHigh, b.addressLow, b.peer)
    return (aAddress < bAddress, .neighborAddress)
  }
}
