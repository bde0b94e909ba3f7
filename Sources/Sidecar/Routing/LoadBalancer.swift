// Which endpoint of a cluster gets the next request. A pure value over what is known of the endpoints; the random
// numbers come from the caller.

/// What balancing needs to know of an endpoint besides its configuration.
struct EndpointLoad {
  var weight: Int
  var priority: Int
  /// Healthy by configuration and not ejected.
  var isAvailable: Bool
  /// Requests or connections under way.
  var active: Int
  /// Smoothed time to the response's head in nanoseconds; 0: nothing known yet.
  var latency: Double
}

struct LoadBalancer {
  let balancing: Cluster.Balancing
  private let ring: HashRing?

  init(_ balancing: Cluster.Balancing, endpoints: [Endpoint]) {
    self.balancing = balancing
    if case .ringHash = balancing { ring = HashRing(endpoints) } else { ring = nil }
  }

  /// - Parameters:
  ///   - hash: of the request, for a ring.
  ///   - excluded: the endpoint that has just failed, avoided where there is another one.
  /// - Returns: the index of the endpoint; nil where none is available.
  func choose(
    _ endpoints: [EndpointLoad], hash: UInt64, excluding excluded: Int? = nil,
    _ random: inout some RandomNumberGenerator
  ) -> Int? {
    if endpoints.count == 1 { return endpoints[0].isAvailable ? 0 : nil }
    var candidates: [Int] = []
    var priority = Int.max
    for (index, endpoint) in endpoints.enumerated() where endpoint.isAvailable && endpoint.weight > 0 {
      if index == excluded { continue }
      if endpoint.priority < priority {
        priority = endpoint.priority
        candidates.removeAll(keepingCapacity: true)
      }
      if endpoint.priority == priority { candidates.append(index) }
    }
    guard let first = candidates.first else {
      return excluded.flatMap { endpoints.indices.contains($0) && endpoints[$0].isAvailable ? $0 : nil }
    }
    if candidates.count == 1 { return first }
    if let ring { return ring.owner(of: hash) { candidates.contains($0) } ?? first }
    let one = draw(candidates, endpoints, &random)
    var other = draw(candidates, endpoints, &random)
    if other == one { other = draw(candidates, endpoints, &random) }
    return cost(endpoints[other]) < cost(endpoints[one]) ? other : one
  }

  private func draw(_ candidates: [Int], _ endpoints: [EndpointLoad], _ random: inout some RandomNumberGenerator) -> Int
  {
    let total = candidates.reduce(0) { $0 + endpoints[$1].weight }
    var left = Int.random(in: 0..<max(1, total), using: &random)
    for index in candidates {
      left -= endpoints[index].weight
      if left < 0 { return index }
    }
    return candidates[candidates.count - 1]
  }

  private func cost(_ endpoint: EndpointLoad) -> Double {
    switch balancing {
    case .latency: max(endpoint.latency, 1) * Double(endpoint.active + 1)
    case .leastRequest, .ringHash: Double(endpoint.active)
    }
  }
}

/// Draws one of several by weight; nil where all weights are 0.
func drawIndex(weights: [Int], _ random: inout some RandomNumberGenerator) -> Int? {
  let total = weights.reduce(0) { $0 + max(0, $1) }
  guard total > 0 else { return nil }
  if weights.count == 1 { return 0 }
  var left = Int.random(in: 0..<total, using: &random)
  for (index, weight) in weights.enumerated() where weight > 0 {
    left -= weight
    if left < 0 { return index }
  }
  return nil
}
