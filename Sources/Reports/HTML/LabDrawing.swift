internal import NorthboundAPI
internal import Scenario
internal import Topology

/// A lab's picture with the flows that were traced in it, one at a time: a radio button per flow shows its paths and its
/// hops, by style sheet alone.
struct LabDrawing {
  struct Flow {
    /// `2.1`: the second test's first step.
    var step: String
    var test: String
    var holds: Bool
    var trace: Trace
  }

  /// More flows than anybody looks through.
  static let limit = 100

  let identifier: String
  let lab: ResolvedLab
  let flows: [Flow]
  let omitted: Int

  init(_ file: FileReport, lab: ResolvedLab, identifier: String) {
    let all = file.tests.enumerated().flatMap { number, test in
      test.steps.enumerated().flatMap { index, step in
        (step.findings.traces + step.findings.checks.flatMap(\.traces)).map {
          Flow(step: "\(number + 1).\(index + 1)", test: test.name, holds: step.outcome.holds, trace: $0)
        }
      }
    }
    // Those that say something about a failure come first when there is not room for all.
    let chosen =
      all.count <= Self.limit ? all : Array((all.filter { !$0.holds } + all.filter(\.holds)).prefix(Self.limit))
    flows = chosen
    omitted = all.count - chosen.count
    self.lab = lab
    self.identifier = identifier
  }

  /// The flow that is shown at first: one of a step that did not hold, else the first.
  private var shown: Int { flows.firstIndex { !$0.holds } ?? 0 }

  func markup() -> Markup {
    let drawing = TopologyDrawing(lab: lab)
    let placed = drawing.placed()
    let parts = drawing.parts(placed)
    let overlay = PathOverlay(lab: lab, placed: placed)
    let choices = flows.enumerated().map { index, flow in choice(index, flow) }
    let overlays = flows.enumerated().map { index, flow -> Markup in
      #"<g class="flow-\#(index)">\#(overlay.markup(flow.trace))</g>"#
    }
    let hops = flows.enumerated().map { index, flow -> Markup in
      """
      <div class="flow-\(index) detail"><h4>\(FlowView.name(flow.trace.flow)) <small>step \(flow.step)</small></h4>
      \(FlowView(trace: flow.trace).markup())</div>
      """
    }
    return """
      <div class="drawing" role="group" aria-label="Topology of \(lab.name) and the paths of its flows">
      \(flows.isEmpty ? nil : #"<p class="hint">Paths in the drawing; the arrow keys go from one to the next:</p>"#)
      \(choices.joined())
      \(omitted > 0 ? "<p>\(omitted) more flows are not shown.</p>" : nil)
      <figure class="topology"><svg viewBox="0 0 \(placed.width) \(placed.height)" \
      style="max-width:\(placed.width)px" role="img" aria-labelledby="\(identifier)-t">
      <title id="\(identifier)-t">Topology of \(lab.name): \(lab.nodes.count) nodes, \(lab.links.count) links</title>
      \(Markup(trusted: parts.links))
      \(overlays.joined())
      \(Markup(trusted: parts.nodes))
      </svg>
      <figcaption>\(legend)</figcaption></figure>
      \(hops.joined())
      </div>
      """
  }

  private var legend: Markup {
    let paths: Markup? =
      flows.isEmpty
      ? nil
      : #"<span class="key forward"></span> way there <span class="key return"></span> way back "#
    let drops: Markup? =
      flows.contains { !$0.trace.forward.drops.isEmpty || !$0.trace.return.drops.isEmpty }
      ? #"<span class="key dropped">✕</span> packets ended here "# : nil
    return """
      \(paths)\(drops)<span class="key customer"></span> from customer to provider \
      <span class="key peer"></span> peers
      """
  }

  private func choice(_ index: Int, _ flow: Flow) -> Markup {
    let checked: Markup? = index == shown ? " checked" : nil
    return """
      <input type="radio" name="\(identifier)" id="\(identifier)-flow-\(index)" class="show-\(index)"\(checked)>\
      <label for="\(identifier)-flow-\(index)"><span class="at">\(flow.step)</span> \(FlowView.name(flow.trace.flow))\
      \(flow.holds ? nil : #" <b class="failed">✘</b>"#)</label>
      """
  }

  /// One rule per flow that some lab of the page has.
  static func rules(count: Int) -> String {
    (0..<count).map { index in
      ".show-\(index):checked~.topology .flow-\(index),.show-\(index):checked~.flow-\(index).detail{display:revert}"
    }.joined(separator: "\n")
  }
}
