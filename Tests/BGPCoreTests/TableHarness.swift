import BGPWire
import NetTypes
import Testing

@testable import BGPCore

/// A routing table with a driver around it that has no sockets: messages go in as values and come out as values.
///
///     peer A ──UPDATE──►┌───────┐──UPDATE──► peer A, B, …   what each was told is kept as a map prefix → attributes
///     peer B ──UPDATE──►│ table │──drainFIB─► forwarding
struct TableHarness: ~Copyable {
  var table: RoutingTable
  /// What a peer has been told and not been told to forget.
  var told: [PeerIndex: [IPPrefix: PathAttributes]] = [:]
  var toldRules: [PeerIndex: [FlowRule: PathAttributes]] = [:]
  var messages: [PeerIndex: [UpdateMessage]] = [:]
  /// The same as they were written.
  var bytes: [PeerIndex: [[UInt8]]] = [:]
  var endOfRIBs: [PeerIndex: [Family]] = [:]
  var forwarding: [IPPrefix: [IPAddress]] = [:]

  /// - Parameter hasView: false: nothing is known of the kernel, as without `fib`.
  init(
    asn: UInt32 = 64500, routerID: UInt32 = 0x0A00_0001, hasView: Bool = true,
    _ adjust: (inout TableSettings) -> Void = { _ in }
  ) {
    var settings = TableSettings(asn: ASNumber(asn), routerID: routerID)
    adjust(&settings)
    var options = TableOptions()
    options.tracksFIB = true
    options.assumesNextHopsReachable = !hasView
    table = RoutingTable(settings: settings, options: options)
    guard hasView else { return }
    table.setUnderlay(
      [
        UnderlayRoute(prefix: prefix("10.0.0.0/8"), cost: 0, onLink: false),
        UnderlayRoute(prefix: prefix("2001:db8:ffff::/48"), cost: 0, onLink: false),
      ],
      ownAddresses: [address("10.0.0.254"), address("2001:db8:ffff::254")])
  }

  /// A neighbor 10.0.0.N with its session up.
  mutating func peer(
    _ number: UInt8, asn: UInt32, id: UInt32? = nil, families: FamilySet = .unicast, fourOctetAS: Bool = true,
    _ adjust: (inout PeerSettings) -> Void = { _ in }
  ) -> PeerIndex {
    var settings = PeerSettings(
      name: "n\(number)", session: "n\(number)/s", asn: ASNumber(asn), address: address("10.0.0.\(number)"))
    settings.importPolicy = .accept
    settings.exportPolicy = .accept
    settings.nextHopIPv6 = IPv6Address("2001:db8:ffff::254")
    adjust(&settings)
    let index = table.addPeer(settings)
    up(index, id: id ?? UInt32(number), families: families, fourOctetAS: fourOctetAS)
    return index
  }

  mutating func up(
    _ peer: PeerIndex, id: UInt32, families: FamilySet = .unicast, fourOctetAS: Bool = true,
    local: String = "10.0.0.254"
  ) {
    told[peer] = [:]
    toldRules[peer] = [:]
    table.sessionUp(
      peer,
      Negotiated(families: families, fourOctetAS: fourOctetAS, peerRouterID: id, localAddress: address(local)))
  }

  @discardableResult
  mutating func receive(_ message: [UInt8], from peer: PeerIndex) -> UpdateOutcome {
    message.withUnsafeBytes {
      table.receive(update: UnsafeRawBufferPointer(rebasing: $0[MessageHeader.size...]), from: peer)
    }
  }

  @discardableResult
  mutating func announce(
    _ prefixes: [String], from peer: PeerIndex, path: [UInt32], nextHop: String = "10.0.0.1",
    _ adjust: (inout PathAttributes) -> Void = { _ in }
  ) -> UpdateOutcome {
    var attributes = PathAttributes()
    attributes.asPath = ASPath(sequence: path.map(ASNumber.init))
    attributes.nextHop = address(nextHop)
    adjust(&attributes)
    return receive(
      UpdateMessage(announced: prefixes.map(prefix), attributes: attributes).encode(), from: peer)
  }

  @discardableResult
  mutating func withdraw(_ prefixes: [String], from peer: PeerIndex) -> UpdateOutcome {
    receive(UpdateMessage(withdrawn: prefixes.map(prefix)).encode(), from: peer)
  }

  /// Decides everything, and reads what every peer is told and the FIB is handed.
  mutating func settle(budget: Int = 7, limit: Int = 300) {
    while table.process(budget: budget) {}
    for peer in told.keys.sorted() { read(peer, limit) }
    var changes: [FIBChange] = []
    while table.drainFIB(limit: 3, { changes.append($0) }) {}
    for change in changes {
      forwarding[change.prefix] = change.nextHops == .none ? nil : table.nextHops(of: change.nextHops)
    }
  }

  private mutating func read(_ peer: PeerIndex, _ limit: Int) {
    var output = OutputBuffer()
    while table.writeMessages(for: peer, into: &output, limit: limit).more {}
    let bytes = output.withUnsafeBytes { Array($0) }
    var rest = bytes[...]
    while let header = try? rest.withUnsafeBytes({ try MessageHeader.frame($0) }) {
      let message = Array(rest.prefix(header.length))
      rest = rest.dropFirst(header.length)
      take(message, peer)
    }
    #expect(rest.isEmpty, "whole messages only")
  }

  private mutating func take(_ message: [UInt8], _ peer: PeerIndex) {
    for family in Family.allCases where message == UpdateMessage.endOfRIB(family) {
      endOfRIBs[peer, default: []].append(family)
      return
    }
    let fourOctetAS = table.peers[Int(peer.rawValue)].context.hasFourOctetAS
    let decoded = message.withUnsafeBytes { bytes in
      try? UpdateMessage(
        decoding: UnsafeRawBufferPointer(rebasing: bytes[MessageHeader.size...]),
        UpdateContext(hasFourOctetAS: fourOctetAS, isExternal: false))
    }
    guard let decoded else {
      Issue.record("a message that was sent does not parse: \(message)")
      return
    }
    messages[peer, default: []].append(decoded)
    bytes[peer, default: []].append(message)
    for prefix in decoded.withdrawn {
      #expect(told[peer]?.removeValue(forKey: prefix) != nil, "\(prefix) withdrawn from \(peer) but never announced")
    }
    for rule in decoded.withdrawnRules {
      #expect(toldRules[peer]?.removeValue(forKey: rule) != nil, "\(rule) withdrawn from \(peer) but never announced")
    }
    for rule in decoded.announcedRules { toldRules[peer]?[rule] = decoded.attributes }
    for prefix in decoded.announced { told[peer]?[prefix] = decoded.attributes }
  }

  /// One attribute of the last message that the peer was sent, header and all; nil: it was not there.
  func sent(_ type: AttributeType, to peer: PeerIndex) -> [UInt8]? {
    guard let message = bytes[peer]?.last else { return nil }
    let start = 23 + Int(message[19]) << 8 + Int(message[20])
    var rest = message.dropFirst(start).prefix(Int(message[start - 2]) << 8 + Int(message[start - 1]))
    while rest.count >= 3 {
      let start = rest.startIndex
      let isLong = rest[start] & 0x10 != 0
      let count = isLong ? 4 + Int(rest[start + 2]) << 8 + Int(rest[start + 3]) : 3 + Int(rest[start + 2])
      if rest[start + 1] == type.rawValue { return Array(rest.prefix(count)) }
      rest = rest.dropFirst(count)
    }
    return nil
  }

  func path(_ text: String, at peer: PeerIndex) -> [UInt32]? {
    told[peer]?[prefix(text)]?.asPath.asns.map(\.rawValue)
  }

  func best(_ text: String) -> RouteView? {
    table.explain(prefix(text))?.candidates.first { $0.isBest }
  }
}

func prefix(_ text: String) -> IPPrefix {
  guard let prefix = IPPrefix(text) else { preconditionFailure("\(text) is no prefix") }
  return prefix
}

func address(_ text: String) -> IPAddress {
  guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
  return address
}
