internal import Lab

/// A run of a pipeline: `NAME/NUMBER` as people write it.
public struct RunReference: Sendable {
  public let pipeline: String
  public let number: Int
  public let folder: PipelineFolder

  var missing: LabError { LabError(.didNotHold, "pipeline \(pipeline) has no run \(number)") }
}

extension PipelineRoot {
  /// `NAME/NUMBER`, `NAME` (its last run), a number where one pipeline has run, or nil: the last run of the only pipeline.
  public func find(_ text: String?, where matches: (RunRecord) -> Bool = { _ in true }) throws -> RunReference {
    let parts = text?.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init) ?? []
    let all = names()
    if all.isEmpty { throw LabError(.didNotHold, "no pipeline has run; start one with: netloom pipeline run FILE") }
    let number = parts.last.flatMap { Int($0) }
    let name = parts.count == 2 ? parts[0] : number == nil ? parts.first : nil
    if parts.count == 2, number == nil {
      throw LabError(.usage, "\(text ?? "") is no run; expected NAME/NUMBER")
    }
    if let name, !all.contains(name) {
      throw LabError(.didNotHold, "no pipeline \(name) has run; there are: \(all.joined(separator: ", "))")
    }
    let candidates = name.map { [$0] } ?? all
    if candidates.count > 1 {
      throw LabError(
        .usage, "\(candidates.count) pipelines have run (\(candidates.joined(separator: ", "))); say NAME/NUMBER")
    }
    let pipeline = candidates[0]
    let folder = folder(of: pipeline)
    let store = try PipelineStore(folder)
    if let number {
      let reference = RunReference(pipeline: pipeline, number: number, folder: folder)
      if try store.run(number) == nil { throw reference.missing }
      return reference
    }
    let runs = try store.runs()
    guard let run = runs.first(where: matches) ?? runs.first else {
      throw LabError(.didNotHold, "pipeline \(pipeline) has no runs")
    }
    return RunReference(pipeline: pipeline, number: run.number, folder: folder)
  }
}
