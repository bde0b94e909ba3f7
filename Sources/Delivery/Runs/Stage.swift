/// The stages of a run in their order. A stage that the file does not ask for is passed over.
public enum Stage: String, Codable, Sendable, CaseIterable {
  case source, build, test, merge, package, tag, push, verify, approve, deploy, release, notify

  /// Whether it is this one or comes before it.
  func reaches(_ other: Stage) -> Bool {
    Stage.allCases.prefix { $0 != other }.contains(self) || self == other
  }

  /// Whether the lab that serves may be between two versions when it is broken off.
  var touchesProduction: Bool { self == .deploy || self == .release }
}
