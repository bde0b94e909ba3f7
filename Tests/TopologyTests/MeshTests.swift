import Foundation
import Mesh
import NetTypes
import Testing
import Topology

private func lab(_ mesh: String, pods: String = "", extra: String = "") -> String {
  """
  name: mesh
  topology:
    nodes:
      edge: {kind: router, asn: 64500}
      client: {kind: pod, service: shop, cmd: ["sleep 1"]}
      web-1: {kind: pod, service: web, version: v1}
      web-2: {kind: pod, service: web, version: v2, sidecar: envoy}
  \(pods)
    links:
      - {endpoints: ["edge:eth1", "client:eth1"], addresses: [[10.1.0.1/24], [10.1.0.2/24]]}
      - {endpoints: ["edge:eth2", "web-1:eth1"], addresses: [[10.2.0.1/24], [10.2.0.2/24]]}
      - {endpoints: ["edge:eth3", "web-2:eth1"], addresses: [[10.3.0.1/24], [10.3.0.2/24]]}
  mesh:
    \(mesh)
  \(extra)
  """
}

private let services = "services: {shop: {port: 8000}, web: {port: 80, target: 8080, protocol: http}}"

private func parse(_ text: String, directory: String = "/tmp") -> Parsed<ResolvedLab> {
  TopologyFile.parse(text: text, file: "mesh.yaml", baseDirectory: directory)
}

@Suite struct MeshTests {
  @Test func `services get an address per family in the order of the file, and their names resolve`() throws {
    let parsed = parse(lab(services))
    let resolved = try #require(parsed.value, "\(parsed.diagnostics)")
    let mesh = try #require(resolved.mesh)
    #expect(mesh.mutualTLS == .permissive)
    #expect(mesh.services.map(\.name) == ["shop", "web"])
    #expect(mesh.services[0].addresses.map(\.description) == ["10.254.0.1", "fd00:254::1"])
    #expect(mesh.services[1].addresses.map(\.description) == ["10.254.0.2", "fd00:254::2"])
    #expect(mesh.services[1].port == 80 && mesh.services[1].target == 8080)
    #expect(mesh.services[1].applicationProtocol == .http && mesh.services[0].applicationProtocol == .tcp)
    #expect(mesh.services[0].target == 8000)
    #expect(resolved.hosts.contains("10.254.0.2 web\n") && resolved.hosts.contains("fd00:254::2 web\n"))
    let pod = try #require(resolved.node("web-2")?.pod)
    #expect(pod.service == "web" && pod.version == "v2" && pod.sidecar == .envoy)
    #expect(resolved.node("client")?.pod?.sidecar == .netloom && resolved.node("edge")?.pod == nil)
    // As a host with one router it sends everything there.
    #expect(resolved.node("client")?.routes.contains { $0.derived && $0.to.length == 0 } == true)
  }

  @Test func `a router that announces a service originates its addresses and spreads over the pods on its links`()
    throws
  {
    let text = lab("services: {shop: {port: 8000}, web: {port: 80, target: 8080, announce: [edge]}}")
    let parsed = parse(text)
    let edge = try #require(parsed.value?.node("edge"), "\(parsed.diagnostics)")
    #expect(edge.networks.map(\.description).contains("10.254.0.2/32"))
    let route = try #require(edge.routes.first { $0.to.description == "10.254.0.2/32" })
    #expect(route.hops.map(\.gateway.description) == ["10.2.0.2", "10.3.0.2"])
    #expect(!edge.unreachable.map(\.description).contains("10.254.0.2/32"))
    #expect(parsed.value?.mesh?.service("web")?.announcedBy == ["edge"])
    #expect(parsed.value?.mesh?.service("shop")?.announcedBy == [])
  }

  @Test func `a collector of spans is a node or an address`() throws {
    let node = try #require(
      parse(lab("{tracing: {otlp: \"http://edge:4318/v1/x\", sampling: 2.5%}, \(services)}")).value?.mesh?.tracing)
    #expect(node.collector.host == "edge" && node.collector.port == 4318 && node.collector.path == "/v1/x")
    #expect(node.sampling == 2.5)
    let address = parse(lab("{tracing: {otlp: \"http://[2001:db8::1]:4318\"}, \(services)}")).value?.mesh?.tracing
    #expect(address?.collector.host == "2001:db8::1" && address?.sampling == 100)
  }

  @Test(arguments: [
    ("services: {}", "", "unknown service `shop`"),
    ("services: {shop: {port: 1}, webs: {port: 80}}", "", "unknown service `web`; did you mean `webs`?"),
    ("services: {edge: {port: 80}, web: {port: 80}, shop: {port: 1}}", "", "service `edge` and the node in line 4"),
    ("services: {web: {port: 80}, shop: {port: 1, target: 15001}}", "", "a port of the sidecar's own"),
    ("services: {web: {port: 80, announce: [client]}, shop: {port: 1}}", "", "no router with an `asn`"),
    (
      "services: {web: {port: 80, announce: [far]}, shop: {port: 1}}", "    far: {kind: router, asn: 64501}",
      "no pod of `web`"
    ),
    ("services: {web: {port: 80}, shop: {port: 1}, web-v1: {port: 80}}", "", "have one name"),
    ("addresses: [10.1.0.0/16], \(services)", "", "overlaps the addresses of edge:eth1"),
    (
      "addresses: [10.250.0.0/30], services: {shop: {port: 1}, web: {port: 80}, x: {port: 1}}", "",
      "no address left for `x`"
    ),
    ("mtls: strict, \(services)", "    raw: {kind: pod, sidecar: none}", "nobody would encrypt"),
    (
      "\(services)", "    other: {kind: pod, sidecar: envoy, interception: tproxy}",
      "`interception: tproxy` on `other` with `sidecar: envoy`: only `netloom`"
    ),
    ("authorization: [{to: web, allow: [shp]}], \(services)", "", "did you mean `shop`?"),
    ("authorization: [{to: web, allow: [web-1]}], \(services)", "", "unknown service or pod without one `web-1`"),
    ("routes: [nowhere.yaml], \(services)", "", "cannot read `nowhere.yaml`"),
    ("tracing: {otlp: \"http://edgy:4318\"}, \(services)", "", "unknown node `edgy`; did you mean `edge`?"),
    ("tracing: {otlp: \"https://edge:4318\"}, \(services)", "", "expected http://HOST:PORT"),
    ("tracing: {otlp: \"http://edge:4318\", sampling: 10}, \(services)", "", "the `%` is missing"),
    ("mtls: maybe, \(services)", "", "expected one of `strict`, `permissive`, `off`"),
  ])
  func `what does not fit is refused by name`(mesh: String, pods: String, message: String) {
    let parsed = parse(lab("{\(mesh)}", pods: pods.isEmpty ? "" : "    \(pods.trimmingCharacters(in: .whitespaces))"))
    #expect(parsed.value == nil)
    #expect(parsed.diagnostics.contains { $0.message.contains(message) }, "\(parsed.diagnostics.map(\.message))")
  }

  @Test func `a pod's words mean nothing elsewhere, and nothing without a mesh`() {
    let host = "name: a\ntopology: {nodes: {h: {kind: host, service: web}}}"
    #expect(parse(host).diagnostics.contains { $0.message.contains("`service` means nothing on the host `h`") })
    let alone = "name: a\ntopology: {nodes: {p: {kind: pod, service: web}}}"
    #expect(parse(alone).diagnostics.contains { $0.message.contains("`service` in a file without `mesh`") })
    let version = "name: a\ntopology: {nodes: {p: {kind: pod, version: v1}}}"
    #expect(parse(version).diagnostics.contains { $0.message.contains("a version of what?") })
  }

  /// A folder with one manifest, for as long as the body takes.
  private func withManifest(_ text: String, _ body: (String) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory.path + "/netloom-manifests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try text.write(toFile: directory + "/split.yaml", atomically: true, encoding: .utf8)
    try body(directory)
  }

  private func manifest(_ rest: String = "", weight: Int = 80) -> String {
    """
    # a split
    apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: split}
    spec:
      parentRefs: [{kind: Service, name: web}]
      rules:
        - backendRefs: [{name: web-v1, weight: \(weight)}, {name: web-v2, weight: 20}]
    \(rest)
    """
  }

  @Test func `manifests of several documents become routes`() throws {
    let two = manifest() + "\n---\n# nothing\n---\n" + manifest().replacing("name: split", with: "name: \"80\"")
    try withManifest(two) { directory in
      let parsed = parse(lab("{routes: [split.yaml], \(services)}"), directory: directory)
      let mesh = try #require(parsed.value?.mesh, "\(parsed.diagnostics)")
      #expect(mesh.routes.map(\.route.name) == ["split", "80"] && mesh.routes.map(\.place.line) == [2, 14])
      #expect(mesh.routes[0].route.rules[0].backends.map(\.weight) == [80, 20])
      #expect(mesh.manifests == ["split.yaml": two])
    }
  }

  @Test func `what a manifest asks for and is not done is an error at its place, with its path`() throws {
    let wrong = manifest(
      """
            filters: [{type: RequestMirror, requestMirror: {backendRef: {name: wbe}}}]
            sessionPersistence: {sessionName: x}
      """)
    try withManifest(wrong) { directory in
      let parsed = parse(lab("{routes: [split.yaml], \(services)}"), directory: directory)
      #expect(parsed.value == nil)
      #expect(
        parsed.errors.map(\.description) == [
          "split.yaml:9:74: error: spec.rules[0].filters[0].requestMirror.backendRef.name: there is no service “wbe”, and "
            + "no version of a service that is called so",
          "split.yaml:10:27: error: spec.rules[0].sessionPersistence: is not supported",
        ])
    }
    try withManifest("kind: [") { directory in
      let broken = parse(lab("{routes: [split.yaml], \(services)}"), directory: directory)
      #expect(broken.diagnostics.contains { $0.place.file == "split.yaml" && $0.message.contains("YAML") })
    }
  }

  @Test func `a version of the lab keeps the manifests that it was made of`() throws {
    try withManifest(manifest(weight: 1)) { directory throws in
      let text = lab("{routes: [split.yaml], \(services)}")
      let kept = FileLayer(file: "mesh.yaml", text: text, manifests: ["split.yaml": manifest(weight: 7)])
      func weight(_ layers: [FileLayer]) throws -> Int {
        let parsed = TopologyFile.parse(layers, baseDirectory: directory)
        return try #require(parsed.value?.mesh?.routes.first, "\(parsed.diagnostics)").route.rules[0].backends[0].weight
      }
      #expect(try weight([kept]) == 7)
      // A CHANGE that names the file again reads it again; one that does not leaves it alone.
      #expect(try weight([kept, FileLayer(file: "c", text: "mesh: {routes: [split.yaml]}")]) == 1)
      #expect(try weight([kept, FileLayer(file: "c", text: "mesh: {mtls: strict}")]) == 7)
    }
  }
}
