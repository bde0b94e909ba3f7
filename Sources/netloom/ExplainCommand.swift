import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct ExplainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Why this path won, rule by rule, over every candidate.",
    discussion: """
      EXAMPLES:
        netloom explain isp2 203.0.113.0/24
        netloom explain customer 198.51.100.2 -o json       an address: its longest match

      Exit code 1 when nothing covers the prefix.
      """)

  @Argument(help: "The node, or LAB/NODE.")
  var node: String

  @Argument(help: "A prefix or an address.")
  var prefix: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let (lab, name) = try common.find(node)
    let explanation = try await lab.reading(name) { try await $0.explain(node: name, prefix: prefix) }
    if common.json {
      try Output.json(explanation)
    } else {
      show(explanation)
    }
    if explanation.candidates.isEmpty, explanation.kernel == nil { throw Exit(code: 1) }
  }

  private func show(_ explanation: RouteExplanation) {
    let palette = Palette(color: common.appearance.color)
    guard !explanation.candidates.isEmpty || explanation.kernel != nil else {
      return Output.line("nothing on \(explanation.node) covers \(prefix)")
    }
    Output.line("\(palette.bold(explanation.prefix)) on \(explanation.node)")
    if explanation.candidates.isEmpty { Output.line("no BGP path") }
    for (index, route) in explanation.candidates.enumerated() {
      Output.line("\n\(index + 1). \(heading(route, palette))")
      for line in attributes(route) { Output.line("   \(palette.dim(line))") }
    }
    if !explanation.comparisons.isEmpty { Output.line("\ndecision:") }
    for comparison in explanation.comparisons {
      let (winner, loser) = (comparison.winner + 1, comparison.loser + 1)
      Output.line("  \(winner) over \(loser) by \(palette.bold(comparison.because)): \(comparison.detail)")
    }
    Output.line("\nkernel: \(kernel(explanation.kernel))")
  }

  private func heading(_ route: BGPRoute, _ palette: Palette) -> String {
    let source = route.neighbor.map { "from \($0)" } ?? "originated here"
    if route.best { return "\(source)  \(palette.green("best")) (\(route.because ?? "only-path"))" }
    if route.multipath { return "\(source)  \(palette.green("installed beside the best"))" }
    if route.rejected { return "\(source)  \(palette.red("refused")): \(route.unusableBecause ?? "by policy")" }
    if !route.usable { return "\(source)  \(palette.red("not usable")): \(route.unusableBecause ?? "unknown")" }
    return "\(source)  lost by \(route.because ?? "an unknown rule")"
  }

  private func attributes(_ route: BGPRoute) -> [String] {
    var path = "AS path \(route.asPathText.isEmpty ? "empty" : route.asPathText), origin \(route.origin)"
    if let localPref = route.localPref { path += ", local-pref \(localPref)" }
    if let med = route.med { path += ", MED \(med)" }
    if route.weight != 0 { path += ", weight \(route.weight)" }
    var lines = [path]
    if let nextHop = route.nextHop {
      let node = route.nextHopNode.map { " (\($0))" } ?? ""
      lines.append("next hop \(nextHop)\(node)" + (route.igpCost.map { ", IGP cost \($0)" } ?? ""))
    }
    let communities = route.communities + route.largeCommunities
    if !communities.isEmpty { lines.append("communities \(communities.joined(separator: " "))") }
    if let otc = route.otc { lines.append("only to customer (RFC 9234) set by AS \(otc)") }
    if let originator = route.originatorID {
      lines.append("originator \(originator), clusters \(route.clusterList.joined(separator: " "))")
    }
    if route.stale { lines.append("stale: kept while the neighbor restarts (RFC 4724)") }
    return lines
  }

  private func kernel(_ route: KernelRoute?) -> String {
    guard let route else { return "no route" }
    if route.kind != "unicast" { return "\(route.kind) (proto \(route.proto))" }
    let hops = route.nextHops.map { hop in
      var text = hop.address.map { "via \($0)" } ?? "on-link"
      if let node = hop.node { text += " (\(node))" }
      if let interface = hop.interface { text += " dev \(interface)" }
      return text
    }
    return "\(hops.joined(separator: ", ")), proto \(route.proto)"
  }
}
