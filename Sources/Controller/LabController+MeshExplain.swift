internal import Intent
internal import Mesh
internal import MeshControl
internal import NetTypes
public import NorthboundAPI
internal import Topology

/// `mesh explain`: what becomes of a request, and what the network under it does.
extension LabController {
  public func meshExplain(_ request: MeshExplainRequest) async throws -> MeshExplanation {
    guard let model = mesh?.applied else { throw APIError(code: "invalid", message: "the topology has no `mesh`") }
    guard let pod = model.pods.first(where: { $0.name == request.from }) else {
      let hint = nearestName(to: request.from, in: model.pods.map(\.name)).map { "; did you mean \($0)?" } ?? ""
      throw APIError(code: "not-found", message: "no pod \(request.from)\(hint)")
    }
    guard let service = model.service(request.to) else {
      let hint = nearestName(to: request.to, in: model.services.map(\.name)).map { "; did you mean \($0)?" } ?? ""
      throw APIError(code: "not-found", message: "no service \(request.to)\(hint)")
    }
    let facts = RequestFacts(
      method: request.method ?? "GET", path: request.path ?? "/", headers: request.headers ?? [:])
    let decision = model.decision(from: pod, to: service, facts)
    var steps = await firstSteps(pod, service, model)
    steps.append(decision.sentence(facts, service))
    var endpoints: [MeshEndpoint] = []
    if case .backends(let backends) = decision.outcome {
      endpoints = candidates(backends, service, pod, model)
      endpoints = await withPaths(endpoints, from: pod, port: service.targetPort)
      steps += Self.balancing(endpoints, service.policy.balancing)
    }
    steps.append(Self.identity(pod, service, model, isAllowed: decision.isAllowed))
    steps += recentEvents(touching: Set([pod.name] + endpoints.flatMap { [$0.pod] + ($0.path?.forward.path ?? []) }))
    let served = decision.isAllowed && endpoints.contains { $0.healthy && $0.path?.reachable != false }
    return MeshExplanation(steps: steps, served: served, endpoints: endpoints)
  }

  private func firstSteps(_ pod: MeshPod, _ service: Mesh.MeshService, _ model: MeshModel) async -> [String] {
    let addresses = service.addresses.map(\.description).joined(separator: ", ")
    var steps = ["\(service.name) is \(addresses), port \(service.port) (\(service.protocol.rawValue))"]
    let client = await mesh?.server.status().first { $0.pod == pod.name }
    switch (pod.sidecar, client?.state) {
    case (.none, _): steps.append("\(pod.name) has no sidecar: its program asks xDS itself")
    case (_, nil): steps.append("the sidecar of \(pod.name) is not connected: it goes by what it had last")
    case (_, .current):
      steps.append("the sidecar of \(pod.name) (\(pod.sidecar.rawValue)) has the newest configuration")
    case (_, .pending): steps.append("the sidecar of \(pod.name) has not acknowledged the newest configuration yet")
    case (_, .refused):
      let reasons = client?.types.compactMap { type in type.refusal.map { "\(type.type.shortName): \($0)" } } ?? []
      steps.append("the sidecar of \(pod.name) refused the newest configuration: \(reasons.joined(separator: "; "))")
    }
    return steps
  }

  private func candidates(
    _ backends: [Backend], _ service: Mesh.MeshService, _ pod: MeshPod, _ model: MeshModel
  ) -> [MeshEndpoint] {
    let total = Double(max(1, backends.reduce(0) { $0 + $1.weight }))
    let clusters = Dictionary(model.clusters.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let costs = model.pathCosts.row(of: pod.name)
    return backends.flatMap { backend -> [MeshEndpoint] in
      guard let cluster = clusters[backend.cluster] else { return [] }
      let pods = model.pods(of: cluster)
      let costs = service.policy.prefersNearest ? costs : [:]
      let ranks = Set(pods.map { Self.cost($0, costs) }).sorted()
      return pods.map { target in
        MeshEndpoint(
          pod: target.name, address: target.addresses.first?.description ?? "", version: target.version,
          share: 100 * Double(backend.weight) / total / Double(max(1, pods.count)),
          locality: target.autonomousSystem.map { "as\($0.rawValue)" },
          priority: ranks.firstIndex(of: Self.cost(target, costs)) ?? 0, healthy: target.health == .healthy, path: nil)
      }
    }
  }

  private static func cost(_ pod: MeshPod, _ costs: [ASNumber: UInt32]) -> UInt32 {
    costs.isEmpty ? 0 : pod.autonomousSystem.flatMap { costs[$0] } ?? .max
  }

  /// A handful of them, one after the other: each is a flow of real packets.
  private func withPaths(_ endpoints: [MeshEndpoint], from pod: MeshPod, port: UInt16) async -> [MeshEndpoint] {
    var result = endpoints
    for index in result.indices.prefix(8) where result[index].pod != pod.name && !result[index].address.isEmpty {
      let query = TraceQuery(from: pod.name, to: result[index].address, proto: "tcp", port: port)
      result[index].path = try? await trace(query)
    }
    return result
  }

  private static func balancing(_ endpoints: [MeshEndpoint], _ balancing: ServicePolicy.Balancing) -> [String] {
    let nearest = endpoints.filter(\.healthy).map(\.priority).min()
    guard let nearest else {
      return ["no endpoint is healthy: all of them are tried all the same, and a request that fails is answered 503"]
    }
    let names = endpoints.filter { $0.healthy && $0.priority == nearest }.map { "\($0.pod) (\($0.address))" }
    let ill = endpoints.filter { !$0.healthy }.map(\.pod)
    let further = endpoints.filter { $0.healthy && $0.priority > nearest }.map(\.pod)
    var steps = ["goes to \(names.joined(separator: " or ")): \(balancing.words)"]
    if !ill.isEmpty { steps.append("left out, because they are down: \(ill.joined(separator: ", "))") }
    if !further.isEmpty {
      steps.append("further away by BGP, used when those fail: \(further.joined(separator: ", "))")
    }
    return steps
  }

  /// What happened lately to the nodes that the request passes, and to the mesh: a request that failed a moment ago failed
  /// for one of these.
  private func recentEvents(touching nodes: Set<String>) -> [String] {
    let since = rfc3339(milliseconds: wallClockMilliseconds() - 120_000)
    let kinds: Set = ["link", "session", "mesh", "change", "process"]
    let found = events.entries.suffix(2000).filter { event in
      guard kinds.contains(event.kind), event.at > since else { return false }
      // What an agent says of its end of a link, the link's own event says too.
      if event.kind == "link", !event.subject.contains(":") { return false }
      let ends = event.subject.split(separator: " ").map { String($0.prefix { $0 != ":" }) }
      return event.node.isEmpty || nodes.contains(event.node) || ends.contains(where: nodes.contains)
    }
    return found.suffix(12).map { event in
      let time = event.at.drop { $0 != "T" }.dropFirst().prefix(12)
      let place = event.node.isEmpty ? "" : "\(event.node): "
      return "lately, \(time): \(place)\(event.kind) \(event.subject): \(event.text)"
    }
  }

  private static func identity(
    _ pod: MeshPod, _ service: Mesh.MeshService, _ model: MeshModel, isAllowed: Bool
  ) -> String {
    let name = "spiffe://\(model.trustDomain)/ns/default/sa/\(pod.account)"
    let wire =
      switch model.mutualTLS {
      case .off: "nothing is encrypted (mtls: off)"
      case .permissive: "encrypted between sidecars as \(name); plain text is taken too (mtls: permissive)"
      case .strict: "encrypted between sidecars as \(name) (mtls: strict)"
      }
    let verdict = isAllowed ? "\(service.name) takes \(pod.account)" : "\(service.name) refuses \(pod.account) (403)"
    return "\(wire); \(verdict)"
  }
}

extension MeshDecision {
  fileprivate func sentence(_ request: RequestFacts, _ service: Mesh.MeshService) -> String {
    let what = "\(request.method) \(request.path)"
    switch outcome {
    case .backends(let backends):
      let shares = backends.map { "\($0.cluster) \($0.weight)" }.joined(separator: ", ")
      guard rule != nil else { return "\(service.name) has no route that says otherwise: to \(shares)" }
      return "\(what) matches a route: to \(shares)"
    case .redirect(let redirect): return "\(what) is redirected (\(redirect.status))"
    case .noRoute: return "no route of \(service.name) matches \(what): answered 404"
    case .noBackend: return "the route that \(what) matches has no backend with a weight: answered 500"
    }
  }
}

extension ServicePolicy.Balancing {
  fileprivate var words: String {
    switch self {
    case .leastRequest: "the less busy of two"
    case .roundRobin: "in turn"
    case .latency: "the one with less latency and less to do of two"
    case .ringHash(let header): "by a hash of \(header.map { "the field \($0)" } ?? "the client's address")"
    }
  }
}
