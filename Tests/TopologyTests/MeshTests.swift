import Foundation
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
    ("authorization: [{to: web, allow: [shp]}], \(services)", "", "did you mean `shop`?"),
    ("authorization: [{to: web, allow: [web-1]}], \(services)", "", "unknown service or pod without one `web-1`"),
    ("routes: [nowhere.yaml], \(services)", "", "cannot read `nowhere.yaml`"),
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

  @Test func `manifests keep their places over several documents`() throws {
    let directory = FileManager.default.temporaryDirectory.path + "/netloom-manifests-\(getpid())"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try """
    # a split
    kind: HTTPRoute
    spec:
      weight: 80
    ---
    # nothing
    ---
    kind: GRPCRoute
    text: "80"
    """.write(toFile: directory + "/split.yaml", atomically: true, encoding: .utf8)
    let parsed = parse(lab("{routes: [split.yaml], \(services)}"), directory: directory)
    let routes = try #require(parsed.value?.mesh?.routes, "\(parsed.diagnostics)")
    #expect(routes.count == 2)
    guard case .mapping(let first, _) = routes[0].root, case .mapping(let second, _) = routes[1].root else {
      Issue.record("two mappings: \(routes)")
      return
    }
    #expect(first.map(\.key) == ["kind", "spec"] && first.map(\.place.line) == [2, 3])
    #expect(second.map(\.key) == ["kind", "text"] && second.map(\.place.line) == [8, 9])
    guard case .scalar("80", let plain, _) = second[1].value else { return #expect(Bool(false), "text is a scalar") }
    #expect(!plain, "what is written in quotes is no number")
    try "kind: [".write(toFile: directory + "/split.yaml", atomically: true, encoding: .utf8)
    let broken = parse(lab("{routes: [split.yaml], \(services)}"), directory: directory)
    #expect(broken.diagnostics.contains { $0.place.file == "split.yaml" && $0.message.contains("YAML") })
  }
}
