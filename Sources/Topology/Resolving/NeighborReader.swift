import NetTypes

/// One neighbor's keys → `NeighborSettings`, for both files.
struct NeighborReader {
  var reporter: Reporter
  var timers: BGPTimers

  /// `tree` is what is written about the neighbor, nil when nothing is.
  func settings(_ tree: Tree?, isInternal: Bool, policies: inout PolicyReader) -> NeighborSettings {
    let role = tree?.text("relation").flatMap(NeighborKeys.role)
    return NeighborSettings(
      importPolicy: policies.choice(tree, "import"), exportPolicy: policies.choice(tree, "export"), role: role,
      roles: (role?.isRFC9234 ?? false) && tree?.bool("roles") != false,
      // Over eBGP the speaker names itself unless a third party on the same subnet is nearer (RFC 4271 section 5.1.3).
      nextHopSelf: tree?.bool("next-hop-self") ?? isInternal, client: false, md5: tree?.text("md5"),
      ttlSecurity: tree?.bool("ttl-security") ?? false, maxPrefix: tree?.number("max-prefix") ?? 0,
      gracefulRestart: gracefulRestart(tree?.text("graceful-restart")),
      removePrivateAS: removePrivateAS(tree?.text("remove-private-as")), allowOwnAS: tree?.number("allow-own-as") ?? 0,
      sendCommunities: tree?.bool("send-communities") ?? true, flowSpec: tree?.bool("flowspec"),
      passive: tree?.bool("passive") ?? false,
      multihop: tree?.bool("multihop") ?? false, port: tree?.number("port").flatMap { UInt16(exactly: $0) } ?? 179,
      timers: Self.timers(tree?["timers"], base: timers, reporter))
  }

  private func gracefulRestart(_ text: String?) -> UInt32 {
    switch text {
    case nil, "true": 120
    case "false": 0
    case .some(let text): UInt32(text) ?? 120
    }
  }

  private func removePrivateAS(_ text: String?) -> RemovePrivateAS {
    switch text {
    case "true": .remove
    case "all": .all
    case "replace": .replace
    default: .keep
    }
  }

  /// What is written over `base`; of keepalive and hold the one that is not written follows from the other, a third
  /// (RFC 4271 section 10).
  static func timers(_ tree: Tree?, base: BGPTimers, _ reporter: Reporter) -> BGPTimers {
    guard let tree else { return base }
    var timers = base
    let hold = tree.text("hold").flatMap(parseSeconds)
    let keepalive = tree.text("keepalive").flatMap(parseSeconds)
    if let hold {
      timers.hold = hold
      timers.keepalive = keepalive ?? hold / 3
      // RFC 4271 section 4.2
      if hold == 1 || hold == 2 {
        reporter.error(tree.place(of: "hold"), "hold: `\(hold)`; expected 0 or at least 3 seconds")
      }
    } else if let keepalive {
      timers.keepalive = keepalive
      timers.hold = min(3 * keepalive, 65535)
    }
    if timers.hold > 0, timers.keepalive > timers.hold {
      reporter.error(
        tree.place(of: "keepalive"),
        "keepalive: `\(timers.keepalive)` is longer than the hold time of \(timers.hold); expected a third of it")
    } else if timers.hold > 2, timers.keepalive == 0 {
      reporter.error(
        tree.place(of: "keepalive"),
        "keepalive: `0` with a hold time of \(timers.hold) ends every session; expected a third of it")
    }
    if let connect = tree.text("connect").flatMap(parseMilliseconds) {
      if connect == 0 { reporter.error(tree.place(of: "connect"), "connect: `0`; expected more than no time") }
      timers.connectMilliseconds = connect
    }
    return timers
  }
}
