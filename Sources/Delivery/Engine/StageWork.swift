/// What the stages do. `DeliveryStages` does it; the engine is tested with another.
public protocol StageWork: Sendable {
  /// Does the stage's work, from the start or from where a killed run left it: what is done already (the facts say so) is
  /// not done again. Throws `StageFailure` where the run ends, and `CancellationError` after tidying up.
  func perform(_ stage: Stage, _ run: RunContext) async throws

  /// Production between two versions → the version that served before.
  func returnProduction(_ run: RunContext) async throws

  /// Ends what a killed run has left on this machine beside its folder.
  func tidy(_ run: Int, of pipeline: String) async

  /// Takes names of images (NAME:TAG) away; what runs stays.
  func forget(images: [String]) async

  /// Tells whoever the file names; what does not arrive is recorded, never thrown.
  func notify(_ event: RunOutcome, _ run: RunContext) async
}

/// How a run stands when somebody is told about it.
public struct RunOutcome: Sendable, Equatable {
  public var state: RunRecord.State
  public var stage: Stage?
  public var reason: String?
}
