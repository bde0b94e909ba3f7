import Delivery
import Glibc
import Synchronization

/// A run while it goes on: a line per stage, what stages say with it.
struct RunView: Sendable {
  let quiet: Bool
  let palette: Palette
  let verbose: Bool

  func show(_ event: RunEvent) {
    switch event {
    case .started(let number, let ref): line("run \(number) of \(ref)")
    case .begun(let stage, let attempt):
      line("\(palette.bold(stage.rawValue))\(attempt > 1 ? " (attempt \(attempt))" : "")")
    case .said(let stage, let text):
      if stage == .notify { Output.note(text) } else { line("  \(text)") }
    case .ended(let stage, let state, let seconds, let reason):
      guard state != .done else {
        return line("  " + palette.green("done") + palette.dim(" in \(spoken(seconds: seconds))"))
      }
      line("  " + palette.red(state.rawValue) + palette.dim(" after \(spoken(seconds: seconds))"))
      if let reason, stage != .notify { line("  \(reason)") }
    case .waiting(_, let expires):
      if let expires { line("  it expires in \(spoken(seconds: expires))") }
    case .undelivered(let text): Output.note("warning: notice undelivered: \(text)")
    }
  }

  private func line(_ text: String) {
    if !quiet { Output.line(text) }
  }
}

/// Runs that are over, or that somebody else runs.
struct RunText {
  let palette: Palette

  func table(_ runs: [RunDocument]) -> [String] {
    var table = Table("RUN", "REF", "COMMIT", "STATE", "STAGE", ">SECONDS", "REASON")
    for run in runs {
      table.add(
        "\(run.pipeline)/\(run.run)", run.kind == "rollback" ? "rollback" : run.ref,
        run.commit.map { String($0.prefix(12)) },
        run.state, run.stage, seconds(run), run.reason.map { String($0.prefix(90)) })
    }
    return table.lines(palette: palette)
  }

  private func seconds(_ run: RunDocument) -> String? {
    run.endedAt.map { fixed(Double($0 - run.startedAt) / 1000, 1) }
  }

  func lines(_ run: RunDocument) -> [String] {
    var lines = ["\(run.pipeline)/\(run.run) \(palette.bold(run.state))" + (run.reason.map { ": \($0)" } ?? "")]
    lines.append("\(run.ref) \(run.commit?.prefix(12) ?? "")  started by \(run.startedBy)")
    if let image = run.image { lines.append("image \(image)") }
    if let approval = run.approval {
      lines.append(
        "\(approval.approved ? "approved" : "rejected") by \(approval.by)\(approval.reason.isEmpty ? "" : ": \(approval.reason)")"
      )
    }
    if let deployment = run.deployment {
      lines.append(
        "\(deployment.lab): \(deployment.service) \(deployment.slot) \(deployment.phase.rawValue), "
          + "\(deployment.weight)% of the requests; before: \(deployment.serving)")
    }
    var table = Table("STAGE", "STATE", ">ATTEMPT", ">SECONDS", "LOG", "REASON")
    for stage in run.stages {
      table.add(
        stage.stage, stage.state, "\(stage.attempt)", stage.seconds.map { fixed($0, 2) }, stage.log,
        stage.reason.map { String($0.prefix(90)) })
    }
    lines += [""] + table.lines(palette: palette)
    if run.stages.contains(where: { access($0.log, F_OK) != 0 }) {
      lines.append("its logs are gone: those of the last \(Pipelines.runsWithLogs) runs are kept")
    }
    lines += judgements(run) + notices(run)
    return lines
  }

  private func judgements(_ run: RunDocument) -> [String] {
    guard !run.judgements.isEmpty else { return [] }
    var table = Table(">WEIGHT", "MEASURE", ">MEASURED", "THRESHOLD", ">RUNNING", "VERDICT", "DETAIL")
    for step in run.judgements {
      for measure in step.measures {
        table.add(
          "\(step.weight)%", measure.name, measure.measured, measure.threshold, measure.running,
          measure.verdict.rawValue,
          measure.detail)
      }
    }
    return [""] + table.lines(palette: palette)
  }

  private func notices(_ run: RunDocument) -> [String] {
    guard !run.notices.isEmpty else { return [] }
    var table = Table("NOTICE", "TO", "DELIVERED", ">ATTEMPTS", "ERROR")
    for notice in run.notices {
      table.add(notice.event, notice.target, notice.delivered ? "yes" : "no", "\(notice.attempts)", notice.error)
    }
    return [""] + table.lines(palette: palette)
  }
}
