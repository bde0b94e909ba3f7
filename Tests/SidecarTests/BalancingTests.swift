import NetTypes
import Testing

@testable import Sidecar

private func load(
  weight: Int = 1, priority: Int = 0, available: Bool = true, active: Int = 0, latency: Double = 0
) -> EndpointLoad {
  EndpointLoad(weight: weight, priority: priority, isAvailable: available, active: active, latency: latency)
}

private func endpoints(_ count: Int) -> [Endpoint] {
  (0..<count).map { Endpoint(SocketAddress(.v4(IPv4Address(rawValue: 0x0A00_0000 + UInt32($0))), 80)) }
}

@Suite struct BalancingTests {
  func shares(_ balancing: Cluster.Balancing, _ loads: [EndpointLoad], rounds: Int = 10000) -> [Int] {
    let balancer = LoadBalancer(balancing, endpoints: endpoints(loads.count))
    var random = FastRandom(seed: 3)
    var counts = [Int](repeating: 0, count: loads.count)
    for _ in 0..<rounds {
      if let index = balancer.choose(loads, hash: random.next(), &random) { counts[index] += 1 }
    }
    return counts
  }

  @Test("equal endpoints get equal shares")
  func equal() {
    // n = 10000, p = 1/4: mean 2500, standard deviation 43.3; five of them.
    for count in shares(.leastRequest, [load(), load(), load(), load()]) { #expect((2283...2717).contains(count)) }
  }

  @Test("the busier of two gets nothing while it is drawn together with the other, and the slower likewise")
  func busy() {
    let counts = shares(.leastRequest, [load(active: 9), load(active: 0)])
    #expect(counts[1] > counts[0] * 5)
    let slow = shares(.latency, [load(latency: 1e6), load(latency: 1e8)])
    #expect(slow[0] > slow[1] * 5)
  }

  @Test("what is not available or has no weight gets nothing; a lower priority only when the higher has none")
  func availability() {
    #expect(shares(.leastRequest, [load(available: false), load(), load(weight: 0)]) == [0, 10000, 0])
    #expect(shares(.leastRequest, [load(priority: 1), load(priority: 0), load(priority: 1)]) == [0, 10000, 0])
    let spare = shares(.leastRequest, [load(priority: 1), load(available: false), load(priority: 1)])
    #expect(spare[1] == 0 && spare[0] > 4000 && spare[2] > 4000)
    #expect(shares(.leastRequest, [load(available: false)]) == [0])
  }

  @Test("an endpoint that has just failed is avoided where there is another")
  func excluding() {
    let balancer = LoadBalancer(.leastRequest, endpoints: endpoints(2))
    var random = FastRandom(seed: 1)
    for _ in 0..<100 { #expect(balancer.choose([load(), load()], hash: 0, excluding: 0, &random) == 1) }
    #expect(balancer.choose([load(), load(available: false)], hash: 0, excluding: 0, &random) == 0)
  }

  @Test("a ring keeps a request where it was, and an endpoint that goes moves only its own share")
  func ring() {
    let all = endpoints(10)
    let ring = HashRing(all)
    var moved = 0
    var counts = [Int](repeating: 0, count: 10)
    for number in 0..<10000 {
      let hash = HashRing.hash("user-\(number)".utf8)
      let owner = ring.owner(of: hash) { _ in true }
      #expect(ring.owner(of: hash) { _ in true } == owner)
      counts[owner ?? 0] += 1
      let without = ring.owner(of: hash) { $0 != 3 }
      if owner == 3 { #expect(without != 3) } else if owner != without { moved += 1 }
    }
    #expect(moved == 0)
    // 64 points an endpoint: shares vary by about an eighth.
    for count in counts { #expect((500...1700).contains(count)) }
  }
}

@Suite struct ResilienceValueTests {
  @Test("a bucket lets its burst through at once and its rate after that")
  func bucket() {
    var bucket = TokenBucket(perSecond: 10, burst: 5, now: 0)
    func taken(_ attempts: Int, at now: UInt64) -> Int { (0..<attempts).count { _ in bucket.take(now: now) } }
    #expect(taken(10, at: 0) == 5)
    #expect(taken(1, at: 99_000_000) == 0)
    #expect(taken(1, at: 101_000_000) == 1)
    #expect(taken(100, at: 60_000_000_000) == 5)
  }

  @Test("retries stay a share of the requests under way, and at least three")
  func budget() {
    var budget = RetryBudget()
    func begun(_ attempts: Int, of requests: Int) -> Int {
      (0..<attempts).count { _ in budget.begin(percent: 20, requestsUnderWay: requests) }
    }
    #expect(begun(10, of: 1) == 3)
    #expect(begun(100, of: 100) == 17)
    budget.end()
    #expect(begun(2, of: 100) == 1)
  }

  @Test("ejections grow with their number, stop at the share that may be out, and are forgotten in good times")
  func outliers() {
    var rules = OutlierDetection()
    rules.consecutiveErrors = 3
    rules.baseEjection = 1000
    rules.maximumEjection = 2500
    rules.maximumPercent = 40
    let detector = OutlierDetector(rules: rules)
    var record = OutlierDetector.Record()
    func fail(_ count: Int, at now: UInt64, ejected: Int = 0) -> Bool {
      (0..<count).map { _ in detector.note(.serverError, &record, ejected: ejected, endpoints: 5, now: now) }.contains(
        true)
    }
    #expect(!fail(2, at: 0))
    _ = detector.note(.success, &record, ejected: 0, endpoints: 5, now: 0)
    #expect(!fail(2, at: 0) && fail(1, at: 0))
    #expect(record.ejectedUntil == 1_000_000_000)
    #expect(fail(3, at: 1_000_000_000) && record.ejectedUntil == 3_000_000_000)
    #expect(fail(3, at: 3_000_000_000) && record.ejectedUntil == 5_500_000_000)
    #expect(!fail(3, at: 6_000_000_000, ejected: 2), "two of five are out already")
    var only = OutlierDetector.Record()
    for _ in 0..<10 { #expect(!detector.note(.connectFailure, &only, ejected: 0, endpoints: 1, now: 0)) }
    _ = detector.note(.success, &record, ejected: 0, endpoints: 5, now: 9_000_000_000)
    #expect(fail(3, at: 9_000_000_000) && record.ejectedUntil == 10_000_000_000)
  }
}
