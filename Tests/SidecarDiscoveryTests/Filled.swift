@testable import Sidecar

extension ResourceStore {
  /// A store that has got everything.
  init(_ lowered: Lowered) throws {
    self.init()
    try take(lowered.packedClusters, .cluster)
    try take(lowered.packedEndpoints, .endpoints)
    try take(lowered.packedListeners, .listener)
    try take(lowered.packedRoutes, .routes)
    try take(lowered.packedSecrets, .secret)
    settle()
  }

  func configuration() throws -> SidecarConfiguration { try configuration(SidecarConfiguration(), .redirected) }
}
