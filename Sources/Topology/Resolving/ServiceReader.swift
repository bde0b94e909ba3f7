import Mesh

/// Reads how one service of `mesh:` is treated: `split`, `balance`, `limits` and the other keys of `ServiceKeys`.
struct ServiceReader {
  let reporter: Reporter
  let tree: Tree
  let isHTTP: Bool
  /// Of the service's pods.
  let versions: Set<String>
  /// What copies can go to: every service, and every version of it as `SERVICE-VERSION`.
  let clusters: Set<String>

  func read(into service: inout MeshService) {
    refuseOpaque()
    service.split = readSplit()
    service.health = tree["health"].map(readHealth)
    service.policy.balancing = readBalancing()
    service.policy.prefersNearest = tree.text("locality") != "any"
    service.policy.circuitBreaker = tree["limits"].map { limits in
      ServicePolicy.CircuitBreaker(
        connections: limits.number("connections"), pendingRequests: limits.number("pending"),
        requests: limits.number("requests"))
    }
    service.policy.outlierEjection = tree["outlier"].map { outlier in
      ServicePolicy.OutlierEjection(
        consecutiveErrors: outlier.number("errors") ?? 5, baseEjectionMilliseconds: time(outlier, "ejection") ?? 30_000,
        maximumPercent: outlier.number("at-most") ?? 50)
    }
    service.policy.rateLimit = tree.number("rate-limit")
    if let timeouts = tree["timeouts"] { readTimeouts(timeouts, &service.policy) }
    if let retries = tree["retries"] { readRetries(retries, &service.policy) }
    service.policy.mirror = tree["mirror"].flatMap(readMirror)
    service.policy.fault = tree["fault"].map(readFault)
  }

  /// What looks into requests has nothing to look at in opaque bytes.
  private func refuseOpaque() {
    guard !isHTTP else { return }
    for name in ["hash", "retries", "mirror", "fault", "rate-limit"] {
      guard let entry = tree.entry(name) else { continue }
      reporter.error(
        entry.keyPlace,
        "`\(name)` of a service with `protocol: tcp`, whose bytes are opaque; expected http, http2 or grpc")
    }
    let places =
      ["pending", "requests"].compactMap { tree["limits"]?.entry($0) }
      + ["request", "attempt"].compactMap { tree["timeouts"]?.entry($0) }
    for entry in places {
      reporter.error(
        entry.keyPlace,
        "`\(entry.key)` of a service with `protocol: tcp`, which has no requests; expected http, http2 or grpc")
    }
  }

  private func readSplit() -> [String: Int] {
    guard let split = tree["split"] else { return [:] }
    var weights: [String: Int] = [:]
    for entry in split.entries {
      if !versions.contains(entry.key) {
        let hint = reporter.suggestion(for: entry.key, from: versions.sorted())
        reporter.error(entry.keyPlace, "no pod of the service runs version `\(entry.key)`\(hint)")
      }
      weights[entry.key] = entry.value.text.flatMap { Int($0) } ?? 0
    }
    if !weights.isEmpty, weights.values.allSatisfy({ $0 == 0 }), !reporter.failed {
      reporter.error(split.place, "split: every weight is 0; expected one above it")
    }
    return weights
  }

  private func readBalancing() -> ServicePolicy.Balancing {
    let header = tree["hash"]?.text("header")
    let word = tree.text("balance") ?? "least-request"
    if let entry = tree.entry("hash"), word != "ring-hash" {
      reporter.error(entry.keyPlace, "`hash` without `balance: ring-hash`; expected both")
    }
    switch word {
    case "round-robin": return .roundRobin
    case "ewma": return .latency
    case "ring-hash": return .ringHash(header: header.map { $0.lowercased() })
    default: return .leastRequest
    }
  }

  private func readTimeouts(_ timeouts: Tree, _ policy: inout ServicePolicy) {
    if let connect = time(timeouts, "connect") { policy.connectTimeout = connect }
    policy.requestTimeout = time(timeouts, "request")
    policy.attemptTimeout = time(timeouts, "attempt")
    if let whole = policy.requestTimeout, let one = policy.attemptTimeout, one > whole {
      reporter.error(timeouts.place(of: "attempt"), "attempt: longer than `request`, the time for all attempts")
    }
  }

  private func readRetries(_ retries: Tree, _ policy: inout ServicePolicy) {
    var retry = Retry()
    retry.attempts = retries.number("attempts").map(Int.init) ?? 1
    retry.codes = retries.texts("codes").compactMap { Int($0) }
    retry.backoff = time(retries, "backoff")
    policy.retry = retry
    policy.retryBudgetPercent = retries.number("budget") ?? 20
  }

  private func readMirror(_ mirror: Tree) -> Mirror? {
    guard let name = mirror.text("to") else { return nil }
    guard clusters.contains(name) else {
      let hint = reporter.suggestion(for: name, from: clusters.sorted())
      reporter.error(mirror.place(of: "to"), "unknown service `\(name)`, and no version is called so\(hint)")
      return nil
    }
    var result = Mirror(cluster: name)
    result.perMillion = (mirror.number("percent") ?? 100) * 10_000
    return result
  }

  private func readFault(_ fault: Tree) -> ServicePolicy.Fault {
    ServicePolicy.Fault(
      delayMilliseconds: time(fault, "delay"), delayPercent: fault.number("delay-percent") ?? 100,
      abortStatus: fault.number("abort"), abortPercent: fault.number("abort-percent") ?? 100)
  }

  private func readHealth(_ health: Tree) -> HealthCheck {
    if let path = health.text("path"), !path.hasPrefix("/") || path.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7F }) {
      reporter.error(health.place(of: "path"), "path: `\(path)`; expected one that begins with a slash, without blanks")
    }
    if health["path"] != nil, tree.text("protocol") != "http" {
      reporter.error(
        health.place(of: "path"),
        "`path` of a service without `protocol: http`: a connection is all that is asked of it")
    }
    let check = HealthCheck(
      path: health.text("path"), intervalMilliseconds: time(health, "interval").map(UInt32.init) ?? 1000,
      timeoutMilliseconds: time(health, "timeout").map(UInt32.init) ?? 500, failures: health.number("failures") ?? 3,
      successes: health.number("successes") ?? 1)
    if check.intervalMilliseconds < 50 {
      reporter.error(health.place(of: "interval"), "interval: shorter than 50ms; expected at least that")
    }
    return check
  }

  /// Milliseconds; nil where nothing is written, or what is has been reported.
  private func time(_ tree: Tree, _ key: String) -> Int? {
    guard let text = tree.text(key), let microseconds = parseTime(text) else { return nil }
    guard microseconds % 1000 == 0, ServiceKeys.times.contains(microseconds / 1000) else {
      reporter.error(tree.place(of: key), "\(key): \(text); expected 1ms to 60m, in whole milliseconds")
      return nil
    }
    return Int(microseconds / 1000)
  }
}
