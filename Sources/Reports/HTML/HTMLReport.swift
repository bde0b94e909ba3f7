internal import NorthboundAPI
public import Scenario
internal import Topology

/// The reports as one page that needs nothing but itself: no script, no font, no picture from elsewhere. What can be
/// switched is switched by radio buttons and a style sheet, and the page forbids by its policy what it does not have, so
/// that nothing a lab's processes print could run in it.
public struct HTMLReport: Sendable {
  let files: [FileReport]
  /// From the current directory to a link from where the page is.
  let link: @Sendable (String) -> String

  /// - Parameters:
  ///   - path: where the page will be; links to evidence start there.
  ///   - directory: absolute; what `path` and the folders of evidence are relative to.
  public init(_ files: [FileReport], path: String, directory: String) {
    self.files = files
    link = { percentEncoded(RepositoryPaths.link(from: path, to: $0, in: directory)) }
  }

  public func html() -> String {
    let summary = ReportStyle(color: false).summary(files)
    let holds = files.allSatisfy { $0.exitCode == 0 }
    let flows = files.compactMap { file in
      file.topology.map { LabDrawing(file, lab: $0, identifier: "").flows.count }
    }
    let page: Markup = """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
      <title>\(holds ? "✔" : "✘") netloom: \(summary)</title>
      <style>\(Markup(trusted: Stylesheet.text + LabDrawing.rules(count: flows.max() ?? 0)))</style></head>
      <body><svg width="0" height="0" class="defs" aria-hidden="true"><defs>\(Self.markers)</defs></svg>
      <header><p class="brand">netloom test</p><h1 class="\(holds ? "passed" : "failed")">\(summary)</h1>\(begun)</header>
      <main><section aria-labelledby="all"><h2 id="all">All tests</h2>\(overview)</section>
      \(files.enumerated().map { section($1, "lab-\($0 + 1)") }.joined())</main>
      </body></html>

      """
    return page.html
  }

  private var begun: Markup? {
    let starts = files.flatMap { $0.tests.map(\.startedAt) }.filter { $0 > 0 }
    return starts.min().map { "<p>begun \(Moment($0).text)</p>" }
  }

  private static let markers: Markup = """
    <marker id="to-provider" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">\
    <path class="arrow" d="M0 0L10 5L0 10z"/></marker>\
    <marker id="there" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="4" markerHeight="4" orient="auto">\
    <path class="forward" d="M0 0L10 5L0 10z"/></marker>\
    <marker id="back" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="4" markerHeight="4" orient="auto">\
    <path class="return" d="M0 0L10 5L0 10z"/></marker>
    """

  private var overview: Markup {
    let rows = files.enumerated().flatMap { number, file -> [Markup] in
      let lab = "lab-\(number + 1)"
      let name = file.lab.isEmpty ? file.file : file.lab
      let problem = file.problem.map { problem -> Markup in
        """
        <tr><td><b class="badge error">could not run</b></td><td>\(name)</td><td></td><td></td>\
        <td>\(problem.message)</td></tr>
        """
      }
      return (problem.map { [$0] } ?? [])
        + file.tests.enumerated().map { index, test in
          """
          <tr><td>\(Self.badge(test.verdict))</td><td><a href="#\(lab)">\(name)</a></td>\
          <td><a href="#\(lab)-test-\(index + 1)">\(test.name)</a></td><td class="number">\(duration(test.seconds))</td>\
          <td>\(test.message)</td></tr>
          """
        }
    }
    return """
      <div class="scroll"><table class="overview"><thead><tr><th scope="col">verdict</th><th scope="col">lab</th>\
      <th scope="col">test</th><th scope="col">time</th><th scope="col">what did not hold</th></tr></thead>
      <tbody>\(rows.joined())</tbody></table></div>
      """
  }

  private static func badge(_ verdict: TestReport.Verdict) -> Markup {
    let word =
      switch verdict {
      case .passed: "holds"
      case .failed: "failed"
      case .undecided: "undecided"
      case .error: "could not run"
      case .notRun: "not run"
      }
    return #"<b class="badge \#(verdict.rawValue)">\#(word)</b>"#
  }

  private func section(_ file: FileReport, _ identifier: String) -> Markup {
    let other = file.runningAs == file.lab ? "" : ", as \(file.runningAs)"
    let drawing = file.topology.map { LabDrawing(file, lab: $0, identifier: "\(identifier)-drawing").markup() }
    let tests = file.tests.enumerated().map { test($1, number: $0 + 1, "\(identifier)-test-\($0 + 1)") }
    return """
      <section class="lab" id="\(identifier)" aria-labelledby="\(identifier)-name">
      <h2 id="\(identifier)-name">\(file.lab.isEmpty ? file.file : file.lab) \
      <small>\(file.file)\(other), \(duration(file.seconds))</small></h2>
      \(file.problem.map { problem -> Markup in #"<p class="problem">\#(problem.message)</p>"# })
      \(drawing)
      \(tests.joined())
      \(impairments(file))
      </section>
      """
  }

  private func impairments(_ file: FileReport) -> Markup? {
    guard !file.impairments.isEmpty else { return nil }
    let rows = file.impairments.map { direction -> Markup in
      let achieved = direction.detail.achieved
      return """
        <tr><td>\(direction.from)</td><td>\(direction.to)</td><td>\(direction.detail.asked)</td>\
        <td>\(achieved.text)</td></tr>
        """
    }
    return """
      <h3>Impairments: asked, achieved</h3>
      <div class="scroll"><table class="impairments"><thead><tr><th scope="col">from</th><th scope="col">to</th>\
      <th scope="col">asked</th><th scope="col">achieved until the end of the tests</th></tr></thead>
      <tbody>\(rows.joined())</tbody></table></div>
      """
  }

  private func test(_ test: TestReport, number: Int, _ identifier: String) -> Markup {
    let evidence = test.evidence.map { folder -> Markup in
      #"<p class="evidence">evidence: <a href="\#(link(folder))">\#(folder)</a></p>"#
    }
    let lost = test.evidenceProblem.map { reason -> Markup in "<p>Evidence could not be kept: \(reason)</p>" }
    return """
      <article class="test \(test.verdict.rawValue)" id="\(identifier)" aria-labelledby="\(identifier)-name">
      <h3 id="\(identifier)-name">\(Self.badge(test.verdict)) \(number). \(test.name) \
      <small>\(duration(test.seconds))</small></h3>
      \(test.notRun.map { _ -> Markup in "<p>\(test.message)</p>" })
      \(test.error.map { error -> Markup in #"<p class="problem">\#(error)</p>"# })
      \(evidence)\(lost)
      \(StepList(test: test, identifier: identifier).markup())
      \(Timeline(test, identifier: "\(identifier)-timeline")?.markup())
      </article>
      """
  }
}
