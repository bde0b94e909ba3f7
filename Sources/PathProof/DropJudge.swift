extension Drop {
  /// With what its node's kernel says. An ICMP error names the packet, so the kernel only adds to it; without one, the
  /// counter that moved by as many packets as ended here says why, if all such counters say the same. Two reasons that
  /// fit are both named, and none is chosen.
  public func explained(by evidence: [KernelEvidence]) -> Drop {
    var drop = self
    let fitting = evidence.filter { $0.packets >= UInt64(packets) }
    if let suspect {
      let confirming = fitting.filter { $0.reason == suspect || $0.reason == .linkDown }
      drop.reason = confirming.first?.reason ?? .unknown
      drop.detail += "; " + (confirming.isEmpty ? "the next hop does not answer" : Self.words(confirming))
    } else if reason == .noListener, fitting.contains(where: { $0.reason == .filter }) {
      // Its own rule rejects in the words of a closed port.
      drop.reason = .filter
      drop.detail += "; " + Self.words(fitting.filter { $0.reason == .filter })
    } else if reason != .unknown {
      let confirming = fitting.filter { $0.reason == reason }
      if !confirming.isEmpty { drop.detail += "; " + Self.words(confirming) }
    } else if !sent, !fitting.isEmpty {
      let reasons = Set(fitting.map(\.reason))
      if reasons.count == 1, let only = reasons.first {
        (drop.reason, drop.detail) = (only, Self.words(fitting))
      } else {
        drop.detail += "; more than one counter moved: " + Self.words(fitting)
      }
    }
    return drop
  }

  private static func words(_ evidence: [KernelEvidence]) -> String { evidence.map(\.text).joined(separator: ", ") }
}

extension Proof {
  /// With every drop explained by its node's kernel.
  public func explained(by evidence: (Drop) -> [KernelEvidence]) -> Proof {
    var proof = self
    proof.forward.drops = Self.merged(forward.drops.map { $0.explained(by: evidence($0)) })
    proof.back.drops = Self.merged(back.drops.map { $0.explained(by: evidence($0)) })
    return proof
  }

  /// What ended at one place for one reason is one entry, whatever says so: kernels send fewer errors than they drop
  /// packets.
  private static func merged(_ drops: [Drop]) -> [Drop] {
    var merged: [Drop] = []
    for drop in drops {
      let place = merged.firstIndex {
        $0.node == drop.node && $0.interface == drop.interface && $0.sent == drop.sent && $0.atEnd == drop.atEnd
          && $0.reason == drop.reason
      }
      guard let place else {
        merged.append(drop)
        continue
      }
      merged[place].packets += drop.packets
      if !merged[place].detail.contains(drop.detail) { merged[place].detail += "; \(drop.detail)" }
    }
    return merged.enumerated().sorted { ($1.element.packets, $0.offset) < ($0.element.packets, $1.offset) }
      .map(\.element)
  }
}
