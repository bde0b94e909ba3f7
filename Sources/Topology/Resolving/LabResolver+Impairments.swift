extension LabResolver {
  /// `delay`, `jitter`, `loss` and `rate` of a link; nil: none is written.
  func impairment(_ link: Tree) -> LinkImpairment? {
    let first = link.entries.first { ["delay", "jitter", "loss", "rate"].contains($0.key) }
    guard let first else { return nil }
    return LinkImpairment(
      canDelay: link["delay"] != nil, delayMicroseconds: link.text("delay").flatMap(parseDelay) ?? 0,
      jitterMicroseconds: link.text("jitter").flatMap(parseDelay) ?? 0,
      lossPPM: link.text("loss").flatMap(parsePartsPerMillion) ?? 0, rate: link.text("rate").flatMap(parseRate),
      place: first.keyPlace)
  }

  func checkImpairments() {
    for link in links {
      checkLoss(link)
      guard let jitter = link.tree.entry("jitter"), let most = link.tree.text("jitter").flatMap(parseDelay) else {
        continue
      }
      guard link.tree["delay"] != nil else {
        reporter.error(jitter.keyPlace, "`jitter` without `delay`; expected the delay that varies by it")
        continue
      }
      if let delay = link.tree.text("delay").flatMap(parseDelay), most > delay {
        reporter.error(
          jitter.value.place,
          "jitter: `\(jitter.value.text ?? "")` is more than the delay `\(link.tree.text("delay") ?? "")` that varies by it"
        )
      }
    }
  }

  /// Loss is the receiver's, and a switch passes frames on before any rule for packets sees them.
  private func checkLoss(_ link: LinkDraft) {
    guard let loss = link.tree.entry("loss"), loss.value.text.flatMap(parsePartsPerMillion) ?? 0 > 0,
      let end = [link.a, link.b].first(where: { isSwitch($0.node) })
    else { return }
    reporter.error(
      loss.keyPlace,
      "`loss` on a link of the switch `\(nodes[end.node].name)`, which loses nothing of what it receives; "
        + "expected a link between nodes that are no switches, or `fault: {loss: …}` with `from: \(nodes[end.node].name)`"
    )
  }
}
