/// The rule that decided between two paths, in the order in which the rules are tried. The raw value is the word that
/// users see (`best-because`).
public enum BestPathReason: String, Hashable, Sendable, CaseIterable {
  case onlyPath = "only-path"
  case weight
  case localPref = "local-pref"
  case localOrigin = "local-origin"
  case asPathLength = "as-path-length"
  case origin
  case med
  case ebgpOverIbgp = "ebgp-over-ibgp"
  case igpCost = "igp-cost"
  case routerID = "router-id"
  case clusterListLength = "cluster-list-length"
  case neighborAddress = "neighbor-address"
}
