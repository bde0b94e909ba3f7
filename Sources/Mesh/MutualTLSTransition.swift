/// From one model to another when what sidecars encrypt changes. Both ends of a connection belong to different sidecars,
/// which take a change at different times; so first everybody takes both, then clients switch, then servers insist. Each
/// step is made when every sidecar has acknowledged the one before.
///
///   off ─► taken, not spoken ─► permissive ─► strict, and back the same way
public enum MutualTLSTransition {
  /// The models to apply one after the other; the last one is `new`.
  public static func steps(from old: MeshModel, to new: MeshModel) -> [MeshModel] {
    let (start, end) = (old.stage, new.stage)
    let between =
      start < end ? Array((start + 1)..<max(end, start + 1)) : Array(((end + 1)..<max(start, end + 1)).reversed())
    return between.map { new.at(stage: $0) } + [new]
  }
}

extension MeshModel {
  fileprivate var stage: Int {
    switch mutualTLS {
    case .off: 0
    case .permissive: speaksTLS ? 2 : 1
    case .strict: 3
    }
  }

  fileprivate func at(stage: Int) -> MeshModel {
    var model = self
    model.speaksTLS = stage > 1
    model.mutualTLS = stage == 0 ? .off : stage == 3 ? .strict : .permissive
    return model
  }
}
