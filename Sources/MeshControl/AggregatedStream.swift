// One client's aggregated discovery stream, state of the world (the xDS protocol's description, "xDS REST and gRPC
// protocol"): requests in, responses out; the clock is passed in, sockets are the caller's.
//
//   request, first of its type ──► Subscription ──► response ──► ACK: held        ──► quiet until something changes
//                                       ▲                   └──► NACK: reason kept ──► quiet until something changes
//   request, other names, same nonce ───┘                        stale nonce       ──► nothing
//
// At most one response per type is under way. Across types a change goes clusters, endpoints, listeners, routes, each
// after the ACK of the one before, and clusters that are no longer wanted stay until the routes have let go of them:
// make before break. An answer that the client waits for is never held back by that order, since the client may wait
// for it before it acknowledges anything else.
internal import Mesh
internal import XDS

/// Why a stream is ended; becomes its gRPC status.
struct StreamRefusal: Error, Equatable {
  /// https://grpc.github.io/grpc/core/md_doc_statuscodes.html
  enum Code: Int {
    case ok = 0, invalidArgument = 3, permissionDenied = 7, resourceExhausted = 8, unimplemented = 12, unavailable = 14
  }

  var code: Code
  var message: String
}

struct AggregatedStream {
  /// Bounds on what a client may make the server remember.
  enum Limit {
    static let names = 10_000
    static let nameBytes = 512
    static let reasonBytes = 2048
  }

  private(set) var subscriptions: [ResourceType: Subscription] = [:]
  private var responses: UInt64 = 0
  /// The client had something from another stream already.
  private var isResumed = false

  // MARK: Requests

  /// Takes a request. What is to be sent then, `next` says.
  mutating func receive(_ request: EnvoyDiscoveryRequest, now: UInt64) throws(StreamRefusal) {
    guard let type = ResourceType(typeURL: request.typeURL) else {
      throw StreamRefusal(code: .invalidArgument, message: "no resources of type \(request.typeURL.prefix(200))")
    }
    guard request.resourceNames.count <= Limit.names,
      request.resourceNames.allSatisfy({ $0.utf8.count <= Limit.nameBytes })
    else { throw StreamRefusal(code: .resourceExhausted, message: "too many or too long resource names") }
    let names = Set(request.resourceNames)
    guard var subscription = subscriptions[type] else {
      // Empty on the first request: everything there is, where the type has that (xDS, "How the client specifies
      // what resources to return").
      let isWildcard = type.absenceMeansRemoval && (names.isEmpty || names.contains("*"))
      subscriptions[type] = Subscription(
        names.subtracting(["*"]), isWildcard: isWildcard, claim: String(request.versionInfo.prefix(Limit.nameBytes)))
      return
    }
    // Said before the newest response arrived: the client will speak again when it has (xDS, "ACK and NACK").
    guard request.responseNonce == subscription.nonce else { return }
    if subscription.outstanding != nil {
      subscription.acknowledge(refusal: Self.refusal(request), now: now)
      if type.absenceMeansRemoval, subscription.refusal == nil { subscription.forgetWhatIsGone() }
    } else if subscription.refusal != nil, !request.hasErrorDetail, request.versionInfo == subscription.sentVersion {
      // Refused for want of what it refers to, which has come meanwhile: an ACK after all.
      subscription.acknowledgeLate(now: now)
      if type.absenceMeansRemoval { subscription.forgetWhatIsGone() }
    }
    // A client that began with everything says so by an empty list from then on; one that began with names and now
    // has none wants nothing.
    let isWildcard =
      type.absenceMeansRemoval
      && (names.contains("*") || (names.isEmpty && subscription.isWildcard && subscription.names.isEmpty))
    let wanted = names.subtracting(["*"])
    if wanted != subscription.names || isWildcard != subscription.isWildcard {
      subscription.subscribe(wanted, isWildcard: isWildcard)
    }
    subscriptions[type] = subscription
  }

  private static func refusal(_ request: EnvoyDiscoveryRequest) -> String? {
    guard request.hasErrorDetail else { return nil }
    let reason = String(request.errorDetail.message.prefix(Limit.reasonBytes))
    return reason.isEmpty ? "refused without a reason" : reason
  }

  // MARK: Responses

  /// The responses to send now.
  mutating func next(_ snapshot: ResourceSnapshot, now: UInt64) -> [EnvoyDiscoveryResponse] {
    var result: [EnvoyDiscoveryResponse] = []
    var isHeldBack = false  // an earlier type is not through yet
    for type in ResourceType.allCases {
      guard let subscription = subscriptions[type] else { continue }
      if subscription.outstanding != nil {
        isHeldBack = true
        continue
      }
      let wanted = wanted(type, snapshot)
      if subscription.claim != nil {
        let version = ResourceVersion(generation: snapshot.generation, wanted)
        if subscriptions[type]?.weighClaim(wanted, version) == true { isResumed = true }
      }
      guard needsPush(type, subscriptions[type] ?? subscription, wanted) else { continue }
      // Secrets are referred to by name and wait for nothing.
      if isHeldBack, !isAwaited(type), type != .secret { continue }
      result.append(push(type, wanted, snapshot, now))
      isHeldBack = true
    }
    return result
  }

  /// Whether the client waits for an answer: because it asked, or because it warms a cluster that it was just sent.
  private func isAwaited(_ type: ResourceType) -> Bool {
    subscriptions[type].map { $0.isAwaited || !$0.renewed.isEmpty } ?? false
  }

  private func needsPush(_ type: ResourceType, _ subscription: Subscription, _ wanted: [String: Resource]) -> Bool {
    if subscription.isAwaited || !subscription.difference(to: wanted).isEmpty { return true }
    return type.absenceMeansRemoval && subscription.sent.keys.contains { wanted[$0] == nil }
  }

  private mutating func push(
    _ type: ResourceType, _ wanted: [String: Resource], _ snapshot: ResourceSnapshot, _ now: UInt64
  ) -> EnvoyDiscoveryResponse {
    var subscription = subscriptions[type] ?? Subscription([], isWildcard: false)
    let content = type.absenceMeansRemoval ? wanted : subscription.difference(to: wanted)
    if type == .cluster {
      // Envoy warms a cluster that has changed and waits for its endpoints, which have not, before it acknowledges the
      // cluster or uses it: they are sent again, right behind it.
      let changed = content.values.filter { new in
        subscription.sent[new.name].map { $0.revision != new.revision } ?? false
      }
      subscriptions[.endpoints]?.renew(Set(changed.map(\.name)))
    }
    responses += 1
    var response = EnvoyDiscoveryResponse()
    response.typeURL = type.typeURL
    response.versionInfo = ResourceVersion(generation: snapshot.generation, wanted).description
    response.nonce = String(responses)
    response.controlPlane.identifier = "netloom"
    response.resources = content.values.sorted { $0.name < $1.name }.map(\.body)
    subscription.push(
      Subscription.Push(version: response.versionInfo, nonce: response.nonce, resources: content, sentAt: now),
      whole: type.absenceMeansRemoval)
    subscriptions[type] = subscription
    return response
  }

  /// What the client should have of a type now.
  private func wanted(_ type: ResourceType, _ snapshot: ResourceSnapshot) -> [String: Resource] {
    guard let subscription = subscriptions[type] else { return [:] }
    var wanted: [String: Resource] = [:]
    for name in subscription.isWildcard ? snapshot.wildcard(type) : [] {
      wanted[name] = snapshot.resource(type, name)
    }
    for name in subscription.names { wanted[name] = snapshot.resource(type, name) }
    if type == .cluster {
      let leaving = subscription.held.filter { wanted[$0.key] == nil }
      if !leaving.isEmpty, holdsOldReferences(snapshot) { wanted.merge(leaving) { current, _ in current } }
    }
    return wanted
  }

  /// Whether listeners or routes that the client works with may refer to clusters that the model no longer has.
  private func holdsOldReferences(_ snapshot: ResourceSnapshot) -> Bool {
    for type in [ResourceType.listener, .routes] {
      guard let subscription = subscriptions[type] else { continue }
      let wanted = wanted(type, snapshot)
      for (name, held) in subscription.held where wanted[name]?.revision != held.revision {
        // A route configuration that the model no longer has is not taken back by RDS; its listener goes instead.
        if type.absenceMeansRemoval || wanted[name] != nil { return true }
      }
    }
    return false
  }

  // MARK: Where it stands

  /// Whether the client holds all that it should, said so, and has asked for whatever that refers to.
  func isCurrent(_ snapshot: ResourceSnapshot) -> Bool {
    // Without an answer to wait for, a client asks for its secrets a little later than for the rest.
    if isResumed, snapshot.needsSecrets, subscriptions[.secret] == nil { return false }
    return subscriptions.allSatisfy { type, subscription in
      subscription.outstanding == nil && !needsPush(type, subscription, wanted(type, snapshot))
        && hasAskedForReferences(type, subscription)
    }
  }

  private func hasAskedForReferences(_ type: ResourceType, _ subscription: Subscription) -> Bool {
    guard let referenced = type.referenced else { return true }
    let target = subscriptions[referenced]
    if target?.isWildcard == true { return true }
    return subscription.held.values.allSatisfy { $0.references.isSubset(of: target?.names ?? []) }
  }

  /// The newest generation that the client says it has from another stream; nil: it says none.
  var claimedGeneration: UInt64? {
    subscriptions.values.compactMap { $0.claim.flatMap(ResourceVersion.generation(of:)) }.max()
  }

  /// The types of which the client refused what it was sent last, with its reasons.
  var refusals: [(ResourceType, String)] {
    subscriptions.sorted { $0.key < $1.key }.compactMap { type, subscription in
      subscription.refusal.map { (type, $0) }
    }
  }
}
