internal import BGPCore
internal import BGPWire
internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes

extension Policy {
  init(_ message: NLPolicy) throws(Refusal) {
    let offender = "policy \(message.name)"
    self.init(name: message.name, statements: [])
    for statement in message.statements {
      statements.append(
        Statement(
          match: try Match(statement.match, offender), set: try SetActions(statement.set, offender),
          then: Statement.Verdict(statement.then)))
    }
  }
}

extension Statement.Verdict {
  fileprivate init(_ message: NLVerdict) {
    switch message {
    case .accept: self = .accept
    case .reject: self = .reject
    case .next, .UNRECOGNIZED: self = .next
    }
  }
}

extension Match {
  fileprivate init(_ message: NLMatch, _ offender: String) throws(Refusal) {
    self.init()
    for range in message.prefixes {
      guard let prefix = IPPrefix(range.prefix), range.ge <= range.le, range.le <= UInt32(prefix.family.bits) else {
        throw Refusal(offender, "bad prefix range")
      }
      prefixes.append(PrefixRange(prefix: prefix, ge: UInt8(range.ge), le: UInt8(range.le)))
    }
    for text in message.asPaths {
      guard let pattern = ASPathPattern(text) else { throw Refusal(offender, "bad as-path expression \(text)") }
      asPaths.append(pattern)
    }
    communities = message.communities.map(CommunityPattern.init)
    largeCommunities = message.largeCommunities.map(LargeCommunityPattern.init)
    for origin in message.origins {
      switch origin {
      case .originLocal: origins.append(.local)
      case .originEbgp: origins.append(.ebgp)
      case .originIbgp: origins.append(.ibgp)
      case .originAny, .UNRECOGNIZED: origins += [.local, .ebgp, .ibgp]
      }
    }
    neighbors = message.neighbors
  }
}

extension SetActions {
  fileprivate init(_ message: NLSet, _ offender: String) throws(Refusal) {
    self.init()
    if message.hasLocalPref { localPref = message.localPref }
    if message.hasMed { med = message.med }
    if message.hasWeight { weight = message.weight }
    prependTimes = Int(message.prependTimes)
    prependASN = message.prependAsn == 0 ? nil : ASNumber(message.prependAsn)
    if message.hasReplaceCommunities { replaceCommunities = message.replaceCommunities.communities.map(Community.init) }
    removeCommunities = message.removeCommunities.map(CommunityPattern.init)
    addCommunities = message.addCommunities.map(Community.init)
    if message.hasReplaceLargeCommunities {
      replaceLargeCommunities = message.replaceLargeCommunities.communities.map(LargeCommunity.init)
    }
    removeLargeCommunities = message.removeLargeCommunities.map(LargeCommunityPattern.init)
    addLargeCommunities = message.addLargeCommunities.map(LargeCommunity.init)
    if !message.nextHop.isEmpty {
      guard let address = IPAddress(message.nextHop) else { throw Refusal(offender, "bad next hop") }
      nextHop = address
    }
  }
}

extension CommunityPattern {
  fileprivate init(_ message: NLCommunityPattern) {
    self.init(
      high: message.anyHigh ? nil : UInt16(truncatingIfNeeded: message.high),
      low: message.anyLow ? nil : UInt16(truncatingIfNeeded: message.low))
  }
}

extension LargeCommunityPattern {
  fileprivate init(_ message: NLLargeCommunityPattern) {
    self.init(
      global: message.anyGlobal ? nil : message.global, data1: message.anyData1 ? nil : message.data1,
      data2: message.anyData2 ? nil : message.data2)
  }
}

extension Community {
  /// Where wildcards make no sense (what is to be added), they are zero.
  fileprivate init(_ message: NLCommunityPattern) {
    self.init(UInt16(truncatingIfNeeded: message.high), UInt16(truncatingIfNeeded: message.low))
  }
}

extension LargeCommunity {
  fileprivate init(_ message: NLLargeCommunityPattern) {
    self.init(message.global, message.data1, message.data2)
  }
}
