// The message `SpeakerConfig` → the core's configuration. Everything a message can say wrongly is refused here, with
// the resource at fault; what passes is what the core's types can express.

internal import BGPCore
internal import BGPWire
internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes

extension SpeakerConfiguration {
  init(_ message: NLSpeakerConfig) throws(Refusal) {
    guard message.asn != 0 else { throw Refusal("", "no AS number") }
    guard message.routerID != 0 else { throw Refusal("", "no router id") }
    var table = TableSettings(asn: ASNumber(message.asn), routerID: message.routerID)
    table.clusterID = message.clusterID == 0 ? nil : message.clusterID
    table.routeReflector = message.routeReflector
    table.multipath = max(1, Int(message.multipath))
    table.preferCustomer = message.preferCustomer
    for network in message.networks {
      guard let prefix = IPPrefix(network) else { throw Refusal("networks", "not a prefix") }
      table.networks.append(prefix)
    }
    for message in message.flowRules {
      let originated = try OriginatedFlowRule(message)
      guard !table.flowRules.contains(where: { $0.rule == originated.rule }) else {
        throw Refusal(message.origin.text, "the same flow rule twice", place: message.origin.place)
      }
      table.flowRules.append(originated)
    }
    for policy in message.policies { table.policies.append(try Policy(policy)) }
    self.init(table: table)
    restartTime = UInt16(min(message.restartTime == 0 ? 120 : message.restartTime, 4095))
    listenPort = UInt16(truncatingIfNeeded: message.listenPort)
    opensListener = message.openListener
    var enabled: FamilySet = []
    if message.ipv4 { enabled.insert(.ipv4Unicast) }
    if message.ipv6 { enabled.insert(.ipv6Unicast) }
    var sessions: Set<String> = []
    for neighbor in message.neighbors {
      let lowered = try NeighborConfiguration(neighbor, enabled: enabled, policies: table.policies)
      guard sessions.insert(lowered.peer.session).inserted else {
        throw Refusal("neighbor \(neighbor.name)", "two sessions are called \(lowered.peer.session)")
      }
      neighbors.append(lowered)
    }
  }
}

extension NeighborConfiguration {
  init(_ message: NLNeighbor, enabled: FamilySet, policies: [Policy]) throws(Refusal) {
    let offender = "neighbor \(message.name)"
    guard let address = IPAddress(message.address) else { throw Refusal(offender, "no address") }
    guard message.asn != 0 else { throw Refusal(offender, "no AS number") }
    let name = message.name.isEmpty ? address.description : message.name
    var peer = PeerSettings(
      name: name, session: message.session.isEmpty ? name : message.session, asn: ASNumber(message.asn),
      address: address)
    peer.relation = Relation(message.relation)
    peer.roles = message.roles
    peer.importPolicy = try PolicyReference(message.importPolicy, policies, offender)
    peer.exportPolicy = try PolicyReference(message.exportPolicy, policies, offender)
    peer.nextHopSelf = message.nextHopSelf
    peer.routeReflectorClient = message.client
    peer.privateASRemoval = PrivateASRemoval(message.removePrivateAs)
    peer.allowOwnAS = Int(message.allowOwnAs)
    peer.sendCommunities = message.sendCommunities
    peer.maxPrefix = message.maxPrefix
    if case .v4(let own)? = IPAddress(message.nextHopIpv4) { peer.nextHopIPv4 = own }
    if case .v6(let own)? = IPAddress(message.nextHopIpv6) { peer.nextHopIPv6 = own }
    peer.multihop = message.multihop
    self.init(peer: peer)
    families = try FamilySet(message.families, enabled: enabled, offender)
    transport = try TransportConfiguration(message, offender)
    timers.holdSeconds = UInt16(clamping: message.hold)
    timers.keepaliveSeconds = UInt16(clamping: message.keepalive)
    if message.connectRetryMs > 0 { timers.connectRetryMilliseconds = message.connectRetryMs }
    guard timers.holdSeconds == 0 || timers.holdSeconds >= 3 else {
      throw Refusal(offender, "hold time \(timers.holdSeconds): 0 or at least 3 (RFC 4271 section 4.2)")
    }
    gracefulRestart = UInt16(clamping: message.gracefulRestart)
    isDaemon = message.daemon
  }
}

extension TransportConfiguration {
  init(_ message: NLNeighbor, _ offender: String) throws(Refusal) {
    self.init()
    if !message.localAddress.isEmpty {
      guard let address = IPAddress(message.localAddress) else { throw Refusal(offender, "bad local address") }
      localAddress = address
    }
    interface = message.interface.isEmpty ? nil : message.interface
    isPassive = message.passive
    port = UInt16(truncatingIfNeeded: message.port)
    ttlSecurity = message.ttlSecurity
    guard message.md5.utf8.count <= 80 else { throw Refusal(offender, "md5 key longer than 80 bytes (RFC 2385)") }
    md5Key = message.md5.isEmpty ? nil : message.md5
  }
}

extension FamilySet {
  /// What is written, or everything the speaker carries where nothing is.
  fileprivate init(_ written: [NLFamily], enabled: FamilySet, _ offender: String) throws(Refusal) {
    var set: FamilySet = []
    for family in written {
      switch family {
      case .ipv4Unicast: set.insert(.ipv4Unicast)
      case .ipv6Unicast: set.insert(.ipv6Unicast)
      case .ipv4Flowspec: set.insert(.ipv4FlowSpec)
      case .ipv6Flowspec: set.insert(.ipv6FlowSpec)
      default: throw Refusal(offender, "unknown address family")
      }
    }
    // Flow rules are carried only where they are named, with either switch on or off: they are no routes.
    self = written.isEmpty ? enabled : set.intersection(enabled.union(.flowSpec))
    if isEmpty { throw Refusal(offender, "no address family left") }
  }
}

extension PolicyReference {
  /// - Parameter text: a policy's name, `accept`, `reject`, or empty.
  fileprivate init(_ text: String, _ policies: [Policy], _ offender: String) throws(Refusal) {
    switch text {
    case "": self = .byRelation
    case "accept": self = .accept
    case "reject": self = .reject
    default:
      guard policies.contains(where: { $0.name == text }) else { throw Refusal(offender, "no policy \(text)") }
      self = .named(text)
    }
  }
}

extension Relation {
  init(_ message: NLRelation) {
    switch message {
    case .provider: self = .provider
    case .customer: self = .customer
    case .peer: self = .peer
    case .rs: self = .routeServer
    case .rsClient: self = .routeServerClient
    case .sibling: self = .sibling
    case .openRelation: self = .open
    case .none, .UNRECOGNIZED: self = .none
    }
  }
}

extension PrivateASRemoval {
  init(_ message: NLRemovePrivate) {
    switch message {
    case .remove: self = .remove
    case .all: self = .all
    case .replace: self = .replace
    case .keep, .UNRECOGNIZED: self = .keep
    }
  }
}
