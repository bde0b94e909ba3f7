// What the core shows -> messages: routes, explanations, sessions.

internal import BGPCore
internal import BGPSpeaker
internal import BGPWire
internal import ControlProtocol
internal import NetTypes
internal import SwiftProtobuf

#if canImport(FoundationEssentials)
  internal import FoundationEssentials
#else
  internal import Foundation
#endif

extension NLPrefix {
  init(_ prefix: IPPrefix) {
    self.init()
    address = Data(prefix.address.bytes)
    length = UInt32(prefix.length)
  }
}

extension NLBGPRoute {
  init(_ view: RouteView) {
    self.init()
    prefix = NLPrefix(view.prefix)
    best = view.isBest
    multipath = view.isMultipath
    neighbor = view.neighbor
    session = view.session
    routerID = view.peerRouterID
    fromIbgp = view.isFromIBGP
    nextHop = view.nextHop.map { Data($0.bytes) } ?? Data()
    weight = view.weight
    usable = view.unusableBecause == nil
    unusableBecause = view.unusableBecause ?? ""
    because = view.because?.rawValue ?? ""
    igpCost = view.igpCost ?? 0
    stale = view.isStale
    rejected = view.isRejected
    set(view.attributes)
  }

  private mutating func set(_ attributes: PathAttributes) {
    asPath = attributes.asPath.segments.map { segment in
      var message = NLASSegment()
      message.type = UInt32(segment.kind.rawValue)
      message.asns = segment.asns.map(\.rawValue)
      return message
    }
    origin = UInt32(attributes.origin.rawValue)
    if let value = attributes.med { med = value }
    if let value = attributes.localPref { localPref = value }
    communities = attributes.communities.map(\.rawValue)
    largeCommunities = attributes.largeCommunities.map { community in
      var message = NLLargeCommunity()
      message.global = community.global
      message.data1 = community.data1
      message.data2 = community.data2
      return message
    }
    if let value = attributes.otc { otc = value.rawValue }
    originatorID = attributes.originatorID ?? 0
    clusterList = attributes.clusterList
    atomicAggregate = attributes.atomicAggregate
    aggregatorAsn = attributes.aggregator?.asn.rawValue ?? 0
    aggregatorID = attributes.aggregator?.address.rawValue ?? 0
  }
}

extension NLExplanation {
  init(_ explanation: RouteExplanation) {
    self.init()
    prefix = NLPrefix(explanation.prefix)
    candidates = explanation.candidates.map(NLBGPRoute.init)
    comparisons = explanation.comparisons.map { comparison in
      var message = NLComparison()
      message.winner = UInt32(comparison.winner)
      message.loser = UInt32(comparison.loser)
      message.because = comparison.because.rawValue
      message.detail = comparison.detail
      return message
    }
  }
}

extension NLSessionSample {
  init(_ sample: SessionSample) {
    self.init()
    key = sample.session
    neighbor = sample.neighbor
    state = NLSessionState(sample.state)
    if let local = sample.local {
      localAddress = Data(local.address.bytes)
      localPort = UInt32(local.port)
    }
    if let remote = sample.remote {
      remoteAddress = Data(remote.address.bytes)
      remotePort = UInt32(remote.port)
    }
    updatesSent = sample.updatesSent
    updatesProcessed = sample.updatesProcessed
    families = sample.families.map(NLFamilyState.init)
    lastError = sample.lastError ?? ""
    daemon = sample.isDaemon
    remoteAsn = sample.remoteASN?.rawValue ?? 0
    remoteID = sample.remoteID ?? 0
    establishedMs = sample.establishedAtMilliseconds ?? 0
    flaps = sample.flaps
    bytesIn = sample.bytesIn
    bytesOut = sample.bytesOut
    hold = UInt32(sample.holdSeconds)
    keepalive = UInt32(sample.keepaliveSeconds)
    capabilities = sample.capabilities
    peerSendsEor = sample.peerSendsEndOfRIB
  }
}

extension NLSessionState {
  fileprivate init(_ state: SessionState) {
    self =
      switch state {
      case .idle: .idle
      case .connect: .connect
      case .active: .active
      case .openSent: .openSent
      case .openConfirm: .openConfirm
      case .established: .established
      }
  }
}

extension NLFamilyState {
  fileprivate init(_ sample: FamilySample) {
    self.init()
    family = sample.family == .ipv4Unicast ? .ipv4Unicast : .ipv6Unicast
    eorReceived = sample.endOfRIBReceived
    eorSent = sample.endOfRIBSent
    prefixesReceived = UInt64(sample.prefixesReceived)
    prefixesAccepted = UInt64(sample.prefixesAccepted)
    prefixesSent = UInt64(sample.prefixesSent)
    stale = UInt64(sample.stale)
  }
}
