internal import EventLoop
internal import Glibc
internal import Lab
internal import Scenario
internal import Topology

/// A lab of its own with the image that was pushed: its tests must hold. The lab is gone afterwards, whatever happens.
extension DeliveryStages {
  func verify(_ run: RunContext) async throws {
    guard let topology = run.pipeline.verify, let image = run.facts.image else {
      throw StageFailure(.stopped, "there is no image to verify; run from package")
    }
    let lab = Self.labName(run.pipeline.name, run.number)
    if let left = labs.lab(named: lab) {
      run.note("taking down what a killed run left: lab \(lab)")
      try left.stop()
    }
    let file = try Self.fill(
      try run.path(topology), image: image.name, digest: image.digest, name: lab, keeping: "verify")
    let options = ScenarioRun.Options(
      only: nil, keep: false, lab: nil, environment: environment, directory: run.folder)
    let scenario = ScenarioRun(root: labs, options: options) { note in
      Self.show(note, run)
    }
    let reports: [FileReport]
    do {
      reports = try await scenario.run([file])
    } catch  where error is InterruptedRun || error is CancellationError {
      throw CancellationError()
    }
    try Task.checkCancellation()
    for test in reports.flatMap(\.tests) {
      if let evidence = test.evidence { run.leave(run.folder + "/" + evidence) }
    }
    try Self.judge(reports, topology)
    let count = reports.reduce(0) { $0 + $1.tests.count }
    run.say("\(count) tests of \(topology) hold with \(image.local.prefix(image.name.count + 20))…")
  }

  public func tidy(_ run: Int, of pipeline: String) async {
    // One that cannot be stopped stays; `netloom ls` shows it.
    if let left = labs.lab(named: Self.labName(pipeline, run)) { _ = try? left.stop() }
  }

  private static func judge(_ reports: [FileReport], _ topology: String) throws {
    for report in reports {
      if let problem = report.problem {
        throw StageFailure(problem.exit == 3 ? .environment : .stopped, "\(topology): \(problem.message)")
      }
    }
    let failed = reports.flatMap(\.tests).filter { $0.verdict != .passed }
    guard let first = failed.first else { return }
    let more = failed.count > 1 ? ", and \(failed.count - 1) more" : ""
    throw StageFailure(
      .stopped, "test \"\(first.name)\" of \(topology) \(first.verdict.rawValue): \(first.message)\(more)")
  }

  private static func show(_ note: ScenarioRun.Note, _ run: RunContext) {
    switch note {
    case .diagnostic(let diagnostic): run.note("\(diagnostic)")
    case .starting(let lab, _): run.note("lab \(lab) comes up")
    case .started(let seconds): run.note("converged after \(seconds) s")
    case .warning(let text), .problem(let text): run.note(text)
    case .finished(let test): run.note("\(test.verdict.rawValue): \(test.name)")
    }
  }

  /// The run's own, so that whoever resumes finds what was left.
  static func labName(_ pipeline: String, _ run: Int) -> String {
    let suffix = "-verify-\(run)"
    var name = pipeline.prefix(32 - suffix.count)
    while name.hasSuffix("-") { name = name.dropLast() }
    return name + suffix
  }

  /// The topology with IMAGE@{digest} filled in and its name changed, beside the original: paths in it stay what they are.
  static func fill(_ path: String, image: String, digest: String, name: String?, keeping what: String) throws -> String
  {
    let text: String
    do {
      text = try SmallFile.text(path)
    } catch {
      throw StageFailure(.stopped, "cannot read \(path): \(error.text)")
    }
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    for (index, line) in lines.enumerated() {
      lines[index] = line.replacing("\(image)@{digest}", with: "\(image)@\(digest)")
      if let name, line.hasPrefix("name:") { lines[index] = "name: \(name)" }
    }
    let slash = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
    let filled = "\(path[..<slash])\(what).\(path[slash...])"
    do {
      try SmallFile.write(filled, lines.joined(separator: "\n"))
    } catch {
      throw StageFailure(.environment, "cannot write \(filled): \(error.text)")
    }
    return filled
  }
}
