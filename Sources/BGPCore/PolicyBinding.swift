import NetTypes

/// What stands at one end of a session once names are resolved.
enum PolicyBinding {
  case accept
  case reject
  /// Export only: own and customers' routes to all, the rest to customers.
  case valleyFree
  case program(PolicyProgram)

  static func importing(
    _ settings: PeerSettings, isExternal: Bool, _ programs: [String: PolicyProgram]
  ) -> PolicyBinding {
    switch settings.importPolicy {
    case .accept: .accept
    case .reject: .reject
    case .named(let name): programs[name].map { .program($0) } ?? .reject
    // RFC 8212 section 3: nothing written on eBGP, nothing taken.
    case .byRelation: isExternal && settings.relation == .none ? .reject : .accept
    }
  }

  static func exporting(
    _ settings: PeerSettings, isExternal: Bool, _ programs: [String: PolicyProgram]
  ) -> PolicyBinding {
    switch settings.exportPolicy {
    case .accept: return .accept
    case .reject: return .reject
    case .named(let name): return programs[name].map { .program($0) } ?? .reject
    case .byRelation:
      guard isExternal else { return .accept }
      switch settings.relation {
      case .none: return .reject  // RFC 8212 section 3
      case .provider, .sibling, .open, .routeServer: return .accept
      case .customer, .peer, .routeServerClient: return .valleyFree
      }
    }
  }

  var asksForPrefix: Bool {
    if case .program(let program) = self { return program.asksForPrefix }
    return false
  }

  var rejectsEverything: Bool {
    if case .reject = self { return true }
    return false
  }
}

extension Relation {
  /// Which side a route from this neighbor was learned from. A route server passes on what peers would tell us
  /// themselves.
  var learned: LearnedFrom {
    switch self {
    case .provider, .routeServer: .customer
    case .customer: .provider
    case .peer, .routeServerClient: .peer
    case .none, .sibling, .open: .other
    }
  }

  /// LOCAL_PREF under `TableSettings.preferCustomer`.
  var preference: UInt32? {
    switch learned {
    case .customer: 130
    case .peer: 110
    case .provider: 90
    case .own, .other: nil
    }
  }
}
