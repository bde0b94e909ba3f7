import Foundation
import NetTypes
import Testing

@testable import Topology

@Suite struct ContainerTests {
  private let text = """
    name: t
    topology:
      nodes:
        edge: {kind: router, asn: 64500}
        registry: {kind: registry, storage: images}
        web-1:
          kind: pod
          service: web
          image: registry:5000/web:v1
          cmd: ["--level 'very high' --path=a\\\\ b"]
          env: {MODE: test}
          limits: {memory: 64mb, cpus: 0.5}
          binds: ["/etc:/host/etc:ro"]
          ready: {http: /health}
        web-2: {kind: pod, service: web, image: "web@sha256:\(String(repeating: "0f", count: 32))"}
        plain: {kind: host, image: tool, ready: {port: 99}}
      links:
        - {endpoints: ["edge:eth1", "web-1:eth1"]}
        - {endpoints: ["edge:eth2", "registry:eth1"], addresses: [[10.9.0.1/24], [10.9.0.2/24]]}
    mesh: {services: {web: {port: 80, target: 8080, protocol: http}}}
    """

  private func lab() throws -> ResolvedLab {
    let parsed = TopologyFile.parse(text: text, file: "t.yaml", baseDirectory: "/srv/labs")
    return try #require(parsed.value, "\(parsed.diagnostics)")
  }

  @Test func `a node with an image is a container with everything that is written`() throws {
    let node = try #require(try lab().node("web-1"))
    let container = try #require(node.container)
    #expect(container.image.description == "registry:5000/web:v1")
    #expect(container.arguments == ["--level", "very high", "--path=a b"])
    #expect(node.commands.isEmpty && node.environment == ["MODE=test"])
    #expect(container.memory == 64 << 20 && container.milliCPUs == 500)
    #expect(container.binds == [.init(source: "/etc", destination: "/host/etc", readOnly: true)])
  }

  @Test func `a pod is ready where its service is to answer, another node where it says`() throws {
    let lab = try lab()
    #expect(lab.node("web-1")?.container?.readyPort == 8080 && lab.node("web-1")?.container?.readyPath == "/health")
    #expect(lab.node("web-2")?.container?.readyPort == 8080 && lab.node("web-2")?.container?.readyPath == nil)
    #expect(lab.node("plain")?.container?.readyPort == 99 && lab.node("plain")?.container?.arguments == nil)
    #expect(lab.node("edge")?.container == nil)
  }

  @Test func `a registry is a host with a default route, a name and a place for its images`() throws {
    let lab = try lab()
    let registry = try #require(lab.node("registry"))
    #expect(registry.kind.isHost && registry.config == "/srv/labs/images")
    #expect(registry.routes.contains { $0.derived && $0.gateway.description == "10.9.0.1" })
    #expect(lab.hosts.contains("10.9.0.2 registry\n"))
  }

  @Test(arguments: [
    ("a  b", ["a", "b"]), ("", []), ("'a b' \"c d\"", ["a b", "c d"]), ("a\\ b", ["a b"]), ("''", [""]),
    ("a'b'\"c\"", ["abc"]), ("\"a\\\"b\"", ["a\"b"]), ("'a\\b'", ["a\\b"]), ("\"a\\n\"", ["a\\n"]),
  ])
  func `a line is divided as a shell does`(_ line: String, _ words: [String]) { #expect(shellWords(line) == words) }

  @Test(arguments: ["'", "a \"b", "a\\"])
  func `what a shell would read on for is refused`(_ line: String) { #expect(shellWords(line) == nil) }
}
