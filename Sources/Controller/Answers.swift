// From the messages of the nodes to the JSON types of the northbound API: addresses become text and, where the lab
// knows them, node names.

internal import ControlProtocol
internal import Foundation
internal import NetTypes
internal import NorthboundAPI

struct Answers: Sendable {
  /// Who answered.
  let node: String
  let book: AddressBook

  func kernelRoute(_ route: NLRoute) -> KernelRoute {
    KernelRoute(
      prefix: route.prefix.text, kind: route.kind.word, nextHops: route.nextHops.map(nextHop),
      proto: route.origin.word, metric: route.metric)
  }

  private func nextHop(_ hop: NLNextHop) -> RouteNextHop {
    let gateway = IPAddress(bytes: hop.gateway)
    let owner = gateway.flatMap { book.owner(of: $0, from: node) } ?? book.neighbor(of: node, across: hop.interface)
    return RouteNextHop(
      address: gateway?.description, interface: hop.interface.isEmpty ? nil : hop.interface, node: owner,
      weight: max(1, hop.weight))
  }

  func bgpRoute(_ route: NLBGPRoute) -> BGPRoute {
    let nextHop = IPAddress(bytes: route.nextHop)
    return BGPRoute(
      prefix: route.prefix.text, best: route.best, multipath: route.multipath, usable: route.usable,
      unusableBecause: route.unusableBecause.nonEmpty, neighbor: route.neighbor.nonEmpty,
      nextHop: nextHop?.description, nextHopNode: nextHop.flatMap { book.owner(of: $0, from: node) },
      asPath: route.asPath.filter { $0.type == 2 }.flatMap(\.asns), asPathText: asPathText(route.asPath),
      origin: originWord(route.origin), med: route.hasMed ? route.med : nil,
      localPref: route.hasLocalPref ? route.localPref : nil, weight: route.weight,
      communities: route.communities.map(communityText),
      largeCommunities: route.largeCommunities.map { "\($0.global):\($0.data1):\($0.data2)" },
      otc: route.hasOtc ? route.otc : nil, because: route.because.nonEmpty, igpCost: route.igpCost,
      stale: route.stale, rejected: route.rejected,
      originatorID: route.originatorID == 0 ? nil : IPv4Address(rawValue: route.originatorID).description,
      clusterList: route.clusterList.map { IPv4Address(rawValue: $0).description })
  }

  func explanation(_ answer: NLExplanation) -> RouteExplanation {
    RouteExplanation(
      node: node, prefix: answer.hasPrefix ? answer.prefix.text : "", candidates: answer.candidates.map(bgpRoute),
      comparisons: answer.comparisons.map {
        RouteComparison(winner: Int($0.winner), loser: Int($0.loser), because: $0.because, detail: $0.detail)
      },
      kernel: answer.inKernel ? kernelRoute(answer.kernelRoute) : nil)
  }

  /// `now`: milliseconds of CLOCK_BOOTTIME.
  func neighbor(_ session: NLSessionSample, now: UInt64) -> NeighborDetail {
    NeighborDetail(
      node: node, neighbor: session.neighbor, session: session.key, state: session.state.word,
      asn: session.remoteAsn, localAddress: addressText(session.localAddress) ?? "",
      address: addressText(session.remoteAddress) ?? "",
      routerID: session.remoteID == 0 ? nil : IPv4Address(rawValue: session.remoteID).description,
      hold: session.hold, keepalive: session.keepalive, capabilities: session.capabilities,
      families: session.families.map(family), updatesSent: session.updatesSent,
      updatesProcessed: session.updatesProcessed, flaps: session.flaps,
      upForMs: session.establishedMs == 0 ? nil : now - min(now, session.establishedMs),
      lastError: session.lastError.nonEmpty)
  }

  private func family(_ state: NLFamilyState) -> FamilyDetail {
    FamilyDetail(
      family: state.family == .ipv6Unicast ? "ipv6" : "ipv4", received: state.prefixesReceived,
      accepted: state.prefixesAccepted, sent: state.prefixesSent, stale: state.stale,
      endOfRIBReceived: state.eorReceived, endOfRIBSent: state.eorSent)
  }

  func link(_ state: NLLinkState, peer: String?) -> LinkDetail {
    LinkDetail(
      interface: state.interface, state: state.up && state.carrier ? "up" : "down", carrier: state.carrier,
      mtu: state.mtu, mac: MACAddress(bytes: state.mac)?.description ?? "", addresses: state.addresses.map(\.text),
      peer: peer, rxPackets: state.rxPackets, txPackets: state.txPackets, rxBytes: state.rxBytes,
      txBytes: state.txBytes, rxDropped: state.rxDropped, txDropped: state.txDropped)
  }
}

/// AS_SEQUENCE plain, AS_SET in braces, confederation segments in parentheses and brackets (RFC 5065 section 5 names
/// them; the notation is the routing suites').
func asPathText(_ segments: [NLASSegment]) -> String {
  segments.map { segment in
    let numbers = segment.asns.map(String.init)
    return switch segment.type {
    case 1: "{" + numbers.joined(separator: ",") + "}"
    case 3: "(" + numbers.joined(separator: " ") + ")"
    case 4: "[" + numbers.joined(separator: ",") + "]"
    default: numbers.joined(separator: " ")
    }
  }.joined(separator: " ")
}

/// RFC 4271 section 4.3, ORIGIN.
private func originWord(_ origin: UInt32) -> String {
  switch origin {
  case 0: "igp"
  case 1: "egp"
  default: "incomplete"
  }
}

/// Well-known ones by name (RFC 1997, 7999, 8326), as policies write them.
private func communityText(_ value: UInt32) -> String {
  switch value {
  case 0xFFFF_FF01: "no-export"
  case 0xFFFF_FF02: "no-advertise"
  case 0xFFFF_029A: "blackhole"
  case 0xFFFF_0000: "graceful-shutdown"
  default: "\(value >> 16):\(value & 0xFFFF)"
  }
}

extension NLRoute.Kind {
  var word: String {
    switch self {
    case .unreachable: "unreachable"
    case .blackhole: "blackhole"
    case .unicast, .UNRECOGNIZED: "unicast"
    }
  }
}

extension NLRoute.Origin {
  var word: String {
    switch self {
    case .kernel: "kernel"
    case .static: "static"
    case .igp: "igp"
    case .bgp: "bgp"
    case .other, .UNRECOGNIZED: "other"
    }
  }
}

extension String {
  /// proto3 has no absent strings; the API has.
  var nonEmpty: String? { isEmpty ? nil : self }
}
