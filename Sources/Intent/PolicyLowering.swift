internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
internal import Topology

extension NLPolicy {
  init(_ policy: Policy) {
    self.init()
    name = policy.name
    statements = policy.statements.map(NLStatement.init)
  }
}

extension NLStatement {
  init(_ statement: PolicyStatement) {
    self.init()
    if let match = statement.match { self.match = NLMatch(match) }
    if let set = statement.set { self.set = NLSet(set) }
    then =
      switch statement.then {
      case .next: .next
      case .accept: .accept
      case .reject: .reject
      }
  }
}

extension NLMatch {
  init(_ match: PolicyMatch) {
    self.init()
    prefixes = match.prefixes.map { range in
      var lowered = NLPrefixRange()
      lowered.prefix = NLPrefix(range.prefix)
      lowered.ge = UInt32(range.ge)
      lowered.le = UInt32(range.le)
      return lowered
    }
    asPaths = match.asPaths
    communities = match.communities.map(NLCommunityPattern.init)
    largeCommunities = match.largeCommunities.map(NLLargeCommunityPattern.init)
    origins = match.origins.map { origin in
      switch origin {
      case .local: .originLocal
      case .ebgp: .originEbgp
      case .ibgp: .originIbgp
      }
    }
    neighbors = match.neighbors
  }
}

extension NLSet {
  init(_ set: PolicySet) {
    self.init()
    if let value = set.localPref { localPref = value }
    if let value = set.med { med = value }
    if let prepend = set.prepend {
      prependTimes = prepend.times
      prependAsn = prepend.asn?.rawValue ?? 0
    }
    if let change = set.communities {
      addCommunities = change.add.map(NLCommunityPattern.init)
      removeCommunities = change.remove.map(NLCommunityPattern.init)
      if let all = change.replace { replaceCommunities.communities = all.map(NLCommunityPattern.init) }
    }
    if let change = set.largeCommunities {
      addLargeCommunities = change.add.map(NLLargeCommunityPattern.init)
      removeLargeCommunities = change.remove.map(NLLargeCommunityPattern.init)
      if let all = change.replace { replaceLargeCommunities.communities = all.map(NLLargeCommunityPattern.init) }
    }
    if let address = set.nextHop { nextHop = .init(address.bytes) }
    if let value = set.weight { weight = value }
  }
}

extension NLCommunityPattern {
  init(_ pattern: CommunityPattern) {
    self.init()
    anyHigh = pattern.high == nil
    high = UInt32(pattern.high ?? 0)
    anyLow = pattern.low == nil
    low = UInt32(pattern.low ?? 0)
  }
}

extension NLLargeCommunityPattern {
  init(_ pattern: LargeCommunityPattern) {
    self.init()
    anyGlobal = pattern.global == nil
    global = pattern.global ?? 0
    anyData1 = pattern.data1 == nil
    data1 = pattern.data1 ?? 0
    anyData2 = pattern.data2 == nil
    data2 = pattern.data2 ?? 0
  }
}
