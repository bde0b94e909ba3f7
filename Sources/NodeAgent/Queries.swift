// Answers to questions (show, explain). Read when asked, kept nowhere.

internal import BGPCore
internal import BGPSpeaker
internal import BGPWire
internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
internal import Netlink

extension Node {
  private static let defaultLimit = 1000

  func answer(_ query: NLQuery) -> NLQueryReply {
    var reply = NLQueryReply()
    let prefix = query.hasPrefix ? IPPrefix(query.prefix) : nil
    if query.hasPrefix && prefix == nil {
      reply.error = "not a prefix"
      return reply
    }
    do throws(KernelError) {
      switch query.kind {
      case .routes: try answerRoutes(query, prefix, &reply)
      case .bgp: answerBGP(query, prefix, &reply)
      case .neighbors: reply.neighbors = speaker?.sample().sessions.map(NLSessionSample.init) ?? []
      case .links: reply.links = try links()
      case .explain: try answerExplain(prefix, &reply)
      case .nat: try dataPlane?.answerNAT(&reply)
      case .filter: try dataPlane?.answerFilter(&reply)
      case .conntrack:
        let limit = query.limit == 0 ? Self.defaultLimit : Int(query.limit)
        try dataPlane?.answerConntrack(query, limit: limit, &reply)
      case .qos: try dataPlane?.answerQoS(&reply)
      case .drift: reply.drift = driftWatch.read()
      case .flowspec:
        try answerFlowSpecs(query, limit: query.limit == 0 ? Self.defaultLimit : Int(query.limit), &reply)
      case .UNRECOGNIZED: reply.error = "unknown question"
      }
    } catch {
      reply.error = error.description
    }
    return reply
  }

  private func links() throws(KernelError) -> [NLLinkState] {
    guard let view else { return [] }
    let losses = try dataPlane?.losses() ?? [:]
    let drops = try dataPlane?.rateDrops() ?? [:]
    return try view.socket.links().sorted { $0.index < $1.index }.map {
      var state = NLLinkState($0, view.addresses[$0.index] ?? [])
      if let loss = losses[$0.name] { state.loss = loss }
      state.rateDropped = drops[$0.index] ?? 0
      return state
    }
  }

  /// The kernel's table main, in order of prefix.
  private func kernelRoutes(_ admit: (IPPrefix) -> Bool) throws(KernelError) -> [NLRoute] {
    guard let view else { return [] }
    let routes = try view.socket.routes().filter { admit($0.destination) }
      .sorted { ($0.destination, $0.metric) < ($1.destination, $1.metric) }
    var nexthops: [NexthopID: Nexthop] = [:]
    if routes.contains(where: { $0.nexthop != nil && $0.hops.isEmpty }) {
      for nexthop in try view.socket.nexthops() { nexthops[nexthop.id] = nexthop }
    }
    return routes.map { NLRoute($0, links: view.links, nexthops: nexthops) }
  }

  private func answerRoutes(_ query: NLQuery, _ prefix: IPPrefix?, _ reply: inout NLQueryReply) throws(KernelError) {
    let routes = try kernelRoutes { prefix?.contains($0) ?? true }
    reply.total = UInt64(routes.count)
    let limit = query.limit == 0 ? Self.defaultLimit : Int(query.limit)
    reply.routes = Array(routes.dropFirst(Int(query.offset)).prefix(limit))
  }

  private func answerBGP(_ query: NLQuery, _ prefix: IPPrefix?, _ reply: inout NLQueryReply) {
    guard let speaker else {
      reply.error = "no BGP speaker runs here"
      return
    }
    var question = RouteQuery()
    question.within = prefix
    question.offset = Int(query.offset)
    question.limit = query.limit == 0 ? Self.defaultLimit : Int(query.limit)
    if !query.neighbor.isEmpty {
      question.peers = speaker.peers(named: query.neighbor)
      guard !question.peers.isEmpty else {
        reply.error = "no neighbor \(query.neighbor)"
        return
      }
    }
    let found = speaker.update { $0.routes(question) }
    reply.bgp = found.routes.map(NLBGPRoute.init)
    reply.total = UInt64(found.total)
  }

  private func answerExplain(_ prefix: IPPrefix?, _ reply: inout NLQueryReply) throws(KernelError) {
    guard let prefix else {
      reply.error = "explain what? a prefix is needed"
      return
    }
    let found = speaker?.update { $0.explain(prefix) }
    var explanation = NLExplanation()
    explanation.prefix = NLPrefix(found?.prefix ?? prefix)
    if let found {
      explanation.candidates = found.candidates.map(NLBGPRoute.init)
      explanation.comparisons = found.comparisons.map { comparison in
        var message = NLComparison()
        message.winner = UInt32(comparison.winner)
        message.loser = UInt32(comparison.loser)
        message.because = comparison.because.rawValue
        message.detail = comparison.detail
        return message
      }
    }
    if let route = try kernelRoutes({ $0 == found?.prefix ?? prefix }).first {
      explanation.inKernel = true
      explanation.kernelRoute = route
    }
    reply.explanation = explanation
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
    if let hop = view.nextHop { nextHop = hop.data }
    weight = view.weight
    usable = view.unusableBecause == nil
    unusableBecause = view.unusableBecause ?? ""
    because = view.because?.rawValue ?? ""
    igpCost = view.igpCost ?? 0
    stale = view.isStale
    rejected = view.isRejected
    write(view.attributes)
  }

  private mutating func write(_ attributes: PathAttributes) {
    asPath = attributes.asPath.segments.map { segment in
      var message = NLASSegment()
      message.type = UInt32(segment.kind.rawValue)
      message.asns = segment.asns.map(\.rawValue)
      return message
    }
    origin = UInt32(attributes.origin.rawValue)
    if let value = attributes.med { med = value }
    if let value = attributes.localPref { localPref = value }
    if let value = attributes.otc { otc = value.rawValue }
    communities = attributes.communities.map(\.rawValue)
    largeCommunities = attributes.largeCommunities.map { community in
      var message = NLLargeCommunity()
      message.global = community.global
      message.data1 = community.data1
      message.data2 = community.data2
      return message
    }
    originatorID = attributes.originatorID ?? 0
    clusterList = attributes.clusterList
    atomicAggregate = attributes.atomicAggregate
    if let aggregator = attributes.aggregator {
      aggregatorAsn = aggregator.asn.rawValue
      aggregatorID = aggregator.address.rawValue
    }
  }
}
