import Mesh
import NetTypes
import Testing
import Topology

private func lab(_ web: String, protocol: String = "http") -> String {
  """
  name: mesh
  topology:
    nodes:
      edge: {kind: router, asn: 64500}
      client: {kind: pod}
      web-1: {kind: pod, service: web, version: v1}
      web-2: {kind: pod, service: web, version: v2}
    links:
      - {endpoints: ["edge:eth1", "client:eth1"], addresses: [[10.1.0.1/24], [10.1.0.2/24]]}
      - {endpoints: ["edge:eth2", "web-1:eth1"], addresses: [[10.2.0.1/24], [10.2.0.2/24]]}
      - {endpoints: ["edge:eth3", "web-2:eth1"], addresses: [[10.3.0.1/24], [10.3.0.2/24]]}
  mesh:
    services:
      web: {port: 80, target: 8080, protocol: \(`protocol`), \(web)}
  """
}

private func read(_ text: String) -> Parsed<ResolvedLab> {
  TopologyFile.parse(text: text, file: "mesh.yaml", baseDirectory: "/tmp")
}

@Suite struct MeshPolicyTests {
  @Test func `what a service says of itself is its policy`() throws {
    let parsed = read(
      lab(
        """
        split: {v1: 80, v2: 20}, balance: ring-hash, hash: {header: X-User}, locality: any,
            limits: {connections: 10, pending: 0, requests: 100}, outlier: {errors: 3, ejection: 5s, at-most: 20},
            timeouts: {connect: 250ms, request: 2s, attempt: 500ms},
            retries: {attempts: 2, codes: [502, 503], backoff: 10ms, budget: 30}, mirror: {to: web-v2, percent: 5},
            fault: {delay: 100ms, delay-percent: 10, abort: 503, abort-percent: 1}, rate-limit: 50,
            health: {path: /healthz, interval: 200ms, timeout: 100ms, failures: 2, successes: 3}
        """))
    let service = try #require(parsed.value?.mesh?.service("web"), "\(parsed.diagnostics)")
    var policy = ServicePolicy(
      balancing: .ringHash(header: "x-user"),
      circuitBreaker: .init(connections: 10, pendingRequests: 0, requests: 100),
      outlierEjection: .init(consecutiveErrors: 3, baseEjectionMilliseconds: 5000, maximumPercent: 20),
      fault: .init(delayMilliseconds: 100, delayPercent: 10, abortStatus: 503, abortPercent: 1), rateLimit: 50)
    policy.prefersNearest = false
    (policy.connectTimeout, policy.requestTimeout, policy.attemptTimeout) = (250, 2000, 500)
    var retry = Retry()
    (retry.attempts, retry.codes, retry.backoff) = (2, [502, 503], 10)
    policy.retry = retry
    policy.retryBudgetPercent = 30
    policy.mirror = Mirror(cluster: "web-v2")
    policy.mirror?.perMillion = 50_000
    #expect(service.policy == policy)
    #expect(service.split == ["v1": 80, "v2": 20])
    let health = try #require(service.health)
    #expect(health.path == "/healthz" && health.intervalMilliseconds == 200 && health.timeoutMilliseconds == 100)
    #expect(health.failures == 2 && health.successes == 3)
  }

  @Test func `what is not written is as it always was`() throws {
    let service = try #require(read(lab("target: 8080".replacing("target: 8080", with: "announce: []"))).value?.mesh)
    #expect(service.services[0].policy == ServicePolicy() && service.services[0].health == nil)
    let ewma = read(lab("balance: ewma, retries: {}, health: {}")).value?.mesh?.services[0]
    #expect(ewma?.policy.balancing == .latency && ewma?.policy.retry == Retry())
    #expect(ewma?.health?.intervalMilliseconds == 1000 && ewma?.health?.path == nil)
  }

  @Test(arguments: [
    ("split: {v3: 1}", "http", "14:59: error: no pod of the service runs version `v3`; did you mean `v1`?"),
    ("split: {v1: 0}", "http", "every weight is 0"), ("balance: fastest", "http", "expected one of `least-request`"),
    ("hash: {header: x}", "http", "`hash` without `balance: ring-hash`"),
    ("retries: {attempts: 1}", "tcp", "whose bytes are opaque"), ("limits: {pending: 1}", "tcp", "has no requests"),
    ("limits: {}", "http", "empty"), ("timeouts: {request: 1s, attempt: 2s}", "http", "attempt: longer than `request`"),
    ("timeouts: {connect: 500us}", "http", "connect: 500us; expected 1ms to 60m"),
    ("timeouts: {connect: 5}", "http", "a time with its unit"), ("mirror: {to: wbe}", "http", "did you mean `web`?"),
    ("fault: {delay-percent: 5}", "http", "`delay`"), ("fault: {abort: 99}", "http", "from 200 to 599"),
    ("rate-limit: 0", "http", "from 1 to 1000000"), ("health: {path: healthz}", "http", "begins with a slash"),
    ("health: {path: /x}", "grpc", "without `protocol: http`"),
    ("health: {interval: 10ms}", "http", "shorter than 50ms"),
    ("outlier: {erors: 3}", "http", "did you mean `errors`?"), ("outlier: {at-most: 101}", "http", "from 0 to 100"),
  ])
  func `what cannot be is refused at its place`(_ web: String, _ name: String, _ message: String) {
    let parsed = read(lab(web, protocol: name))
    #expect(parsed.value == nil)
    #expect(parsed.diagnostics.contains { $0.description.contains(message) }, "\(parsed.diagnostics)")
  }

  @Test func `a CHANGE alters keys of the mesh and of its services, and null takes them away`() throws {
    let base = FileLayer(file: "mesh.yaml", text: lab("split: {v1: 80, v2: 20}, rate-limit: 5"))
    func mesh(_ changes: String...) throws -> MeshSettings {
      let parsed = TopologyFile.parse(
        [base] + changes.map { FileLayer(file: "c.yaml", text: $0) }, baseDirectory: "/tmp")
      return try #require(parsed.value?.mesh, "\(parsed.diagnostics)")
    }
    let one = try mesh(
      "mesh: {mtls: strict, authorization: [{to: web, allow: [client]}], services: {web: {split: {v2: 1}, balance: ewma}}}"
    )
    #expect(one.mutualTLS == .strict && one.authorizations.map(\.allowed) == [["client"]])
    #expect(one.services[0].split == ["v2": 1] && one.services[0].policy.rateLimit == 5)
    #expect(one.services[0].policy.balancing == .latency && one.services[0].target == 8080)
    let two = try mesh(
      "mesh: {mtls: strict}", "mesh: {mtls: null, services: {web: {split: null, rate-limit: null}}}")
    #expect(two.mutualTLS == .permissive && two.services[0].split.isEmpty && two.services[0].policy.rateLimit == nil)
  }

  @Test func `of a CHANGE of the mesh only what still says something is kept`() throws {
    let layers = [
      FileLayer(file: "mesh.yaml", text: lab("rate-limit: 5")), FileLayer(file: "a", text: "mesh: {mtls: strict}"),
      FileLayer(file: "b", text: "mesh: {services: {web: {rate-limit: 7}}}"),
      FileLayer(file: "c", text: "mesh: {services: {web: {rate-limit: 9}}}"),
    ]
    #expect(TopologyFile.read(layers, baseDirectory: "/tmp").needed == [0, 1, 3])
  }

  @Test(arguments: [
    ("mesh: {services: {wbe: {rate-limit: 1}}}", "c.yaml:1:19: error: unknown service `wbe`; did you mean `web`?"),
    ("mesh: {services: {web: {port: 81}}}", "unknown key `port`"),
    ("mesh: {addresses: [10.9.0.0/16]}", "unknown key `addresses`"), ("mesh: {}", "empty"),
    ("mesh: {services: {web: {split: {v9: 1}}}}", "no pod of the service runs version `v9`"),
    ("mesh: {routes: [none.yaml]}", "c.yaml:1:17: error: routes: cannot read `none.yaml`"),
  ])
  func `a CHANGE of the mesh is checked like any file`(_ change: String, _ message: String) {
    let parsed = TopologyFile.parse(
      [FileLayer(file: "mesh.yaml", text: lab("rate-limit: 5")), FileLayer(file: "c.yaml", text: change)],
      baseDirectory: "/tmp")
    #expect(parsed.value == nil)
    #expect(parsed.errors.contains { $0.description.contains(message) }, "\(parsed.diagnostics)")
  }

  @Test func `who may call cannot be told where nobody has an identity`() {
    let text = lab("rate-limit: 5").replacing(
      "mesh:\n", with: "mesh:\n  mtls: off\n  authorization: [{to: web, allow: [client]}]\n")
    let parsed = read(text)
    #expect(parsed.value != nil)
    #expect(
      parsed.warnings.map(\.description).contains { $0.contains("mesh.yaml:14:3: warning: authorization with") },
      "\(parsed.diagnostics)")
  }

  @Test func `a lab without a mesh gets none by a CHANGE`() {
    let text = "name: t\ntopology: {nodes: {a: {kind: host}}, links: []}"
    let parsed = TopologyFile.parse(
      [FileLayer(file: "t.yaml", text: text), FileLayer(file: "c.yaml", text: "mesh: {mtls: strict}")],
      baseDirectory: "/tmp")
    #expect(parsed.errors.contains { $0.description.contains("c.yaml:1:1: error: `mesh` of a lab that has none") })
  }
}
