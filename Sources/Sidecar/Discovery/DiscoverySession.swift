// One sidecar's side of an aggregated discovery stream, state of the world ("xDS REST and gRPC protocol"): responses in,
// requests out. No socket and no clock: `DiscoveryClient` has those.
//
//   response ─► take ─► in force? ──► ACK (version, nonce)
//                 │         └─ not yet: listeners and routes that warm are acknowledged when they are in force,
//                 │            and refused when that takes too long
//                 └─ bad: NACK (version before, nonce, reason); nothing has changed
//
// What is acknowledged works, so that whoever waits for the ACK of a change may rely on it.
import SwiftProtobuf
import XDS

struct DiscoverySession {
  /// A response that has been taken and is not answered yet.
  private struct Pending {
    let version: String
    let nonce: String
  }

  private struct Subscription {
    var names: [String] = []
    var isOpen = false
    /// Of the last response that was acknowledged.
    var version = ""
    /// Of the last response.
    var nonce = ""
    var pending: Pending?
    /// Refused because it had waited too long, and still waiting.
    var late: Pending?
  }

  /// Puts a configuration in force.
  typealias Apply = (SidecarConfiguration) throws -> Void

  let node: String
  private let base: SidecarConfiguration
  private let interception: Interception
  private var subscriptions: [ResourceKind: Subscription] = [:]
  private(set) var store = ResourceStore()
  /// In force.
  private(set) var configuration: SidecarConfiguration
  private var hasNode = false
  private var hasListeners = false

  init(node: String, _ base: SidecarConfiguration, _ interception: Interception) {
    self.node = node
    self.base = base
    self.interception = interception
    configuration = base
  }

  /// Everything that the control plane has said is in force, and it has said what there is to listen on.
  var isComplete: Bool { hasListeners && store.warming.isEmpty }

  /// Whether a response waits for what it refers to.
  var isWarming: Bool { subscriptions.values.contains { $0.pending != nil } }

  // MARK: Streams

  /// The first requests of a new stream. What is known is said, so that a control plane that knows it too may save its
  /// answer; nonces are the stream's own.
  mutating func begin() -> [EnvoyDiscoveryRequest] {
    hasNode = false
    for kind in ResourceKind.allCases {
      subscriptions[kind, default: Subscription()].nonce = ""
      subscriptions[kind]?.pending = nil
      subscriptions[kind]?.late = nil
      subscriptions[kind]?.isOpen = false
      subscriptions[kind]?.names = []
    }
    return [request(.cluster), request(.listener)] + subscribe()
  }

  /// Asks for names that have come up, and no more for those that have gone.
  private mutating func subscribe() -> [EnvoyDiscoveryRequest] {
    ResourceKind.allCases.filter { !$0.isWildcard }.compactMap { kind in
      let names = store.names(kind)
      let subscription = subscriptions[kind] ?? Subscription()
      if names == subscription.names || (names.isEmpty && !subscription.isOpen) { return nil }
      subscriptions[kind, default: Subscription()].names = names
      // While a response waits for its ACK, that will carry the names, unless they are what it waits for: a request with
      // the nonce before it is a subscription and no answer.
      return request(kind)
    }
  }

  /// A request that carries the nonce of the last response that was answered.
  private mutating func request(_ kind: ResourceKind, refusing reason: String? = nil) -> EnvoyDiscoveryRequest {
    var subscription = subscriptions[kind] ?? Subscription()
    subscription.isOpen = true
    subscriptions[kind] = subscription
    var request = EnvoyDiscoveryRequest()
    request.typeURL = kind.typeURL
    request.resourceNames = subscription.names
    request.versionInfo = subscription.version
    request.responseNonce = subscription.nonce
    if !hasNode {
      hasNode = true
      request.node.id = node
      request.node.userAgentName = "netloom-sidecar"
    }
    if let reason {
      request.errorDetail.code = 3  // INVALID_ARGUMENT
      request.errorDetail.message = reason
    }
    return request
  }

  // MARK: Responses

  /// Takes a response and says what follows from it.
  mutating func receive(_ response: EnvoyDiscoveryResponse, _ apply: Apply) -> [EnvoyDiscoveryRequest] {
    guard let kind = ResourceKind(typeURL: response.typeURL), subscriptions[kind]?.isOpen == true else { return [] }
    let before = store
    subscriptions[kind]?.late = nil
    do throws(ResourceError) {
      try store.take(response.resources, kind)
      try checkCertificates(kind)
    } catch {
      store = before
      return refuse(kind, response.nonce, error.description)
    }
    store.settle()
    var refusals: [EnvoyDiscoveryRequest] = []
    if let reason = putInForce(response.versionInfo, apply) {
      // A listener that has waited for this response may be what cannot be opened.
      if kind != .listener, let waiting = subscriptions[.listener]?.pending {
        store.restoreListeners(of: before)
        store.settle()
        if putInForce(response.versionInfo, apply) == nil { refusals = refuse(.listener, waiting.nonce, reason) }
      }
      if refusals.isEmpty {
        store = before
        return refuse(kind, response.nonce, reason)
      }
    }
    if kind == .listener { hasListeners = true }
    subscriptions[kind]?.pending = Pending(version: response.versionInfo, nonce: response.nonce)
    return refusals + acknowledge() + subscribe()
  }

  /// - Returns: why it cannot be.
  private mutating func putInForce(_ version: String, _ apply: Apply) -> String? {
    do {
      var wanted = try store.configuration(base, interception)
      wanted.version = version
      try apply(wanted)
      configuration = wanted
      return nil
    } catch {
      // Of what cannot be opened the rest is in force already: back to what was.
      _ = try? apply(configuration)
      return "\(error)"
    }
  }

  /// Secrets are tried before they are used anywhere, also while nothing uses them yet.
  private func checkCertificates(_ kind: ResourceKind) throws(ResourceError) {
    guard kind == .secret else { return }
    try store.checkCertificates()
  }

  private mutating func acknowledge() -> [EnvoyDiscoveryRequest] {
    ResourceKind.allCases.compactMap { kind in
      let subscription = subscriptions[kind]
      guard let pending = subscription?.pending ?? subscription?.late, store.warming[kind] == nil else { return nil }
      subscriptions[kind]?.pending = nil
      subscriptions[kind]?.late = nil
      subscriptions[kind]?.version = pending.version
      subscriptions[kind]?.nonce = pending.nonce
      if !kind.isWildcard { subscriptions[kind]?.names = store.names(kind) }
      return request(kind)
    }
  }

  private mutating func refuse(_ kind: ResourceKind, _ nonce: String, _ reason: String) -> [EnvoyDiscoveryRequest] {
    subscriptions[kind]?.pending = nil
    subscriptions[kind]?.nonce = nonce
    return [request(kind, refusing: String(reason.prefix(2000)))]
  }

  /// Refuses what has waited too long. It goes on warming, and comes into force should it be completed; then it is
  /// acknowledged after all.
  mutating func giveUpWaiting() -> [EnvoyDiscoveryRequest] {
    ResourceKind.allCases.flatMap { kind -> [EnvoyDiscoveryRequest] in
      guard let pending = subscriptions[kind]?.pending else { return [] }
      let waiting = (store.warming[kind] ?? [:]).sorted { $0.key < $1.key }.prefix(5)
      let texts = waiting.map { "\(kind.word) \($0.key): waits for \($0.value)" }
      defer { subscriptions[kind]?.late = pending }
      return refuse(kind, pending.nonce, texts.joined(separator: "; "))
    }
  }
}
