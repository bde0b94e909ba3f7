internal import ControlProtocol
internal import NetTypes

// A speaker's settings as a plan prints them: what is at its default is left out.

extension NLSpeakerConfig {
  var words: String {
    var words = ["as \(asn)", "router-id \(IPv4Address(rawValue: routerID))"]
    if multipath > 1 { words.append("multipath \(multipath)") }
    if routeReflector { words.append("route-reflector") }
    if clusterID != 0 { words.append("cluster-id \(IPv4Address(rawValue: clusterID))") }
    if preferCustomer { words.append("prefer-customer") }
    if restartTime != 0 { words.append("restart-time \(restartTime)") }
    return words.joined(separator: " ")
  }
}

extension NLNeighbor {
  var words: String {
    var words = ["as \(asn)"]
    if relation != .none { words.append("relation \(relation)") }
    if relation != .none, !roles { words.append("no roles") }
    if !importPolicy.isEmpty { words.append("import \(importPolicy)") }
    if !exportPolicy.isEmpty { words.append("export \(exportPolicy)") }
    // A password is no matter for a plan that ends in a log; that it is another one is.
    if !md5.isEmpty { words.append("md5 #\(fingerprint(md5))") }
    if ttlSecurity { words.append("ttl-security") }
    if maxPrefix > 0 { words.append("max-prefix \(maxPrefix)") }
    if nextHopSelf { words.append("next-hop-self") }
    if client { words.append("route-reflector-client") }
    words.append(gracefulRestart == 0 ? "no graceful-restart" : "graceful-restart \(gracefulRestart)")
    if removePrivateAs != .keep { words.append("remove-private-as \(removePrivateAs)") }
    if allowOwnAs > 0 { words.append("allow-own-as \(allowOwnAs)") }
    if !sendCommunities { words.append("no send-communities") }
    if passive { words.append("passive") }
    if multihop { words.append("multihop") }
    words.append("timers \(keepalive) \(hold) connect \(connectRetryMs) ms")
    words.append("families " + families.map { "\($0)" }.joined(separator: ","))
    return words.joined(separator: " ")
  }
}

/// FNV-1a, 32 bits: tells two passwords apart without giving either away at a glance.
private func fingerprint(_ text: String) -> String {
  String(text.utf8.reduce(2_166_136_261 as UInt32) { ($0 ^ UInt32($1)) &* 16_777_619 }, radix: 16)
}

extension NLPolicy {
  /// Its statements in the words of a policy.
  var words: String { statements.map(\.words).joined(separator: "; ") }
}

extension NLStatement {
  fileprivate var words: String {
    var words: [String] = []
    if hasMatch { words.append("match \(match.words)") }
    if hasSet { words.append("set \(set.words)") }
    if then != .next { words.append("then \(then)") }
    return words.joined(separator: " ")
  }
}

extension NLMatch {
  fileprivate var words: String {
    var words: [String] = []
    words += prefixes.map { "prefix \($0.words)" }
    words += asPaths.map { "as-path \"\($0)\"" }
    words += communities.map { "community \($0.words)" }
    words += largeCommunities.map { "large-community \($0.words)" }
    words += origins.map { "origin \($0)" }
    words += neighbors.map { "neighbor \($0)" }
    return words.joined(separator: " ")
  }
}

extension NLSet {
  fileprivate var words: String {
    var words: [String] = []
    if hasLocalPref { words.append("local-pref \(localPref)") }
    if hasMed { words.append("med \(med)") }
    if prependTimes > 0 { words.append("prepend \(prependTimes)" + (prependAsn == 0 ? "" : " as \(prependAsn)")) }
    words += addCommunities.map { "community add \($0.words)" }
    words += removeCommunities.map { "community remove \($0.words)" }
    if hasReplaceCommunities {
      words.append("community replace [" + replaceCommunities.communities.map(\.words).joined(separator: " ") + "]")
    }
    words += addLargeCommunities.map { "large-community add \($0.words)" }
    words += removeLargeCommunities.map { "large-community remove \($0.words)" }
    if hasReplaceLargeCommunities {
      let all = replaceLargeCommunities.communities.map(\.words).joined(separator: " ")
      words.append("large-community replace [\(all)]")
    }
    if let address = IPAddress(bytes: nextHop) { words.append("next-hop \(address)") }
    if hasWeight { words.append("weight \(weight)") }
    return words.joined(separator: " ")
  }
}

extension NLPrefixRange {
  fileprivate var words: String {
    let base = IPAddress(bytes: prefix.address).map { "\($0)/\(prefix.length)" } ?? "?"
    return ge == prefix.length && le == prefix.length ? base : "\(base) ge \(ge) le \(le)"
  }
}

extension NLCommunityPattern {
  fileprivate var words: String { "\(anyHigh ? "*" : "\(high)"):\(anyLow ? "*" : "\(low)")" }
}

extension NLLargeCommunityPattern {
  fileprivate var words: String {
    "\(anyGlobal ? "*" : "\(global)"):\(anyData1 ? "*" : "\(data1)"):\(anyData2 ? "*" : "\(data2)")"
  }
}
