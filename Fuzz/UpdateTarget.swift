// libFuzzer: bytes from a peer against the whole way of a route. The input is a row of UPDATE bodies, each behind two
// octets: the first says who sends it (and now and then that a session goes, or that everything waiting is worked off),
// the second how long it is. Whatever the bytes, the table must neither trap nor read or write out of bounds, and what it
// sends must be messages that its own decoder takes.

import BGPCore
import BGPWire
import NetTypes

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = UnsafeRawBufferPointer(start: start, count: count)
  var fuzzed = FuzzedTable()
  var offset = 0
  while offset + 2 <= input.count {
    let control = input[offset]
    let count = min(Int(input[offset + 1]), input.count - offset - 2)
    fuzzed.step(control, UnsafeRawBufferPointer(rebasing: input[(offset + 2)..<(offset + 2 + count)]))
    offset += 2 + count
  }
  fuzzed.settle()
  return 0
}

struct FuzzedTable: ~Copyable {
  private var table: RoutingTable
  private var peers: [PeerIndex] = []

  init() {
    var settings = TableSettings(asn: ASNumber(64500), routerID: 1)
    settings.networks = [IPPrefix("192.0.2.0/24"), IPPrefix("2001:db8::/32")].compactMap { $0 }
    settings.routeReflector = true
    settings.multipath = 2
    var prepend = SetActions()
    prepend.prependTimes = 2
    prepend.addCommunities = [Community(64500, 1)]
    var match = Match()
    match.asPaths = [ASPathPattern("_1_")].compactMap { $0 }
    match.prefixes = [IPPrefix("10.0.0.0/8").map { PrefixRange(prefix: $0, ge: 8, le: 24) }].compactMap { $0 }
    settings.policies = [Policy(name: "p", statements: [Statement(match: match, set: prepend, then: .next)])]
    var options = TableOptions()
    options.tracksFIB = true
    options.assumesNextHopsReachable = true
    table = RoutingTable(settings: settings, options: options)
    for number in 0..<4 {
      peers.append(table.addPeer(Self.settings(UInt8(number))))
      up(number)
    }
  }

  /// External, internal, external with roles and policies, external with two octets.
  private static func settings(_ number: UInt8) -> PeerSettings {
    var settings = PeerSettings(
      name: "n", session: "s\(number)", asn: ASNumber(number == 1 ? 64500 : 64501 + UInt32(number)),
      address: .v4(IPv4Address(10, 0, 0, number)))
    settings.importPolicy = number == 2 ? .named("p") : .accept
    settings.exportPolicy = number == 2 ? .named("p") : .accept
    settings.relation = number == 2 ? .peer : .open
    settings.roles = number == 2
    settings.routeReflectorClient = number == 1
    settings.privateASRemoval = number == 0 ? .replace : .keep
    settings.maxPrefix = number == 3 ? 50 : 0
    settings.nextHopIPv6 = IPv6Address("2001:db8::1")
    return settings
  }

  private mutating func up(_ number: Int) {
    table.sessionUp(
      peers[number],
      Negotiated(
        families: .all, fourOctetAS: number != 3, peerRouterID: UInt32(number) + 1,
        localAddress: .v4(IPv4Address(10, 0, 0, 254))))
  }

  mutating func step(_ control: UInt8, _ body: UnsafeRawBufferPointer) {
    let number = Int(control & 3)
    switch control >> 4 {
    case 15:
      table.sessionDown(peers[number], retainingStale: control & 8 == 0 ? [] : .all)
      up(number)
    case 14: settle()
    case 13: table.sweepStale(peers[number], control & 8 == 0 ? .ipv4Unicast : .ipv6Unicast)
    case 12: table.sendAgain(peers[number], control & 8 == 0 ? .ipv4Unicast : .ipv6Unicast)
    default:
      switch table.receive(update: body, from: peers[number]) {
      case .sessionReset, .maxPrefixesExceeded:
        table.sessionDown(peers[number])
        up(number)
      default: break
      }
    }
  }

  /// Works everything off and reads what leaves.
  mutating func settle() {
    while table.process(budget: 64) {}
    for (number, peer) in peers.enumerated() {
      var output = OutputBuffer()
      while table.writeMessages(for: peer, into: &output, limit: 4096).more {}
      output.withUnsafeBytes { Self.check($0, fourOctetAS: number != 3) }
    }
    while table.drainFIB(limit: 64, { _ in }) {}
    _ = table.routes(RouteQuery())
  }

  private static func check(_ bytes: UnsafeRawBufferPointer, fourOctetAS: Bool) {
    var rest = bytes
    while !rest.isEmpty {
      guard let header = try? MessageHeader.frame(rest) else {
        preconditionFailure("what leaves is no message")
      }
      let body = UnsafeRawBufferPointer(rebasing: rest[MessageHeader.size..<header.length])
      do {
        _ = try UpdateMessage(decoding: body, UpdateContext(hasFourOctetAS: fourOctetAS, isExternal: false))
      } catch {
        preconditionFailure("what leaves does not parse: \(error)")
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[header.length...])
    }
  }
}
