import Foundation
import Mesh
import NetTypes
import Testing

@testable import MeshControl

/// Proxyless gRPC: the C core's own xDS client (PyPI grpcio), which finds its servers by `xds:///web`.
@Suite(.serialized) struct GRPCClientTests {
  /// Two servers on loopback addresses, which answer with their names, and a client.
  private static let program = #"""
    import collections, signal, sys
    from concurrent import futures
    import grpc

    # A test runner blocks signals, and what it starts inherits that.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def serve(address, port, name):
        server = grpc.server(futures.ThreadPoolExecutor(2))
        answer = grpc.unary_unary_rpc_method_handler(lambda request, context: name.encode())
        methods = {"Name": answer, "Other": answer}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", methods)])
        bound = server.add_insecure_port(f"{address}:{port}")
        server.start()
        return server, bound

    def name(method):
        try:
            return channel.unary_unary("/test.Echo/" + method)(b"", timeout=10, wait_for_ready=True).decode()
        except grpc.RpcError as error:
            return error.code().name

    first, port = serve("127.0.0.11", 0, "v1")
    second, port = serve("127.0.0.12", port, "v2")
    print(port, flush=True)
    channel = None
    for line in sys.stdin:
        words = line.split()
        if words[0] == "open":
            channel = grpc.insecure_channel("xds:///web")
            print("opened", flush=True)
        if words[0] == "await":
            # An ACK of gRPC says that a resource is valid; the calls follow a little later.
            streak = 0
            for _ in range(5000):
                streak = streak + 1 if name(words[1]) == words[2] else 0
                if streak == int(words[3]):
                    break
            print(streak == int(words[3]), flush=True)
        if words[0] == "call":
            answers = collections.Counter()
            for _ in range(int(words[2])):
                answers[name(words[1])] += 1
            print(" ".join(f"{name}={count}" for name, count in sorted(answers.items())), flush=True)
    """#

  private func model(port: UInt16) -> MeshModel {
    var model = MeshModel(trustDomain: "lab", mutualTLS: .off)
    model.services = [
      MeshService(
        name: "web", addresses: [SampleMesh.address("10.254.0.1")], port: port, targetPort: port, protocol: .grpc)
    ]
    model.pods = [
      MeshPod(
        name: "web-1", addresses: [SampleMesh.address("127.0.0.11")], service: "web", version: "v1", sidecar: .none),
      MeshPod(
        name: "web-2", addresses: [SampleMesh.address("127.0.0.12")], service: "web", version: "v2", sidecar: .none),
      MeshPod(name: "client", addresses: [SampleMesh.address("127.0.0.1")], sidecar: .none),
    ]
    model.pods[0].autonomousSystem = ASNumber(65001)
    model.pods[1].autonomousSystem = ASNumber(65002)
    return model
  }

  private func counts(_ line: String) -> [String: Int] {
    let pairs = line.split(separator: " ").compactMap { word -> (String, Int)? in
      let parts = word.split(separator: "=")
      return parts.count == 2 ? Int(parts[1]).map { (String(parts[0]), $0) } : nil
    }
    return Dictionary(pairs, uniquingKeysWith: +)
  }

  @Test func aClientFollowsWeightsEndpointsAndRoutes() async throws {
    guard let python = RealClients.python else { return RealClients.skip("needs python3 with grpcio and xds-protos") }
    let directory = FileManager.default.temporaryDirectory.appending(path: "netloom-grpc-\(getpid())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let socket = directory.appending(path: "xds.sock").path
    let bootstrap = directory.appending(path: "bootstrap.json")
    try XDSBootstrap.gRPC(pod: "client", server: "unix:\(socket)")
      .write(to: bootstrap, atomically: true, encoding: .utf8)
    let client = try ClientProcess(
      [python, "-c", Self.program], environment: ["GRPC_XDS_BOOTSTRAP": bootstrap.path])
    let port = try #require(UInt16(try client.readLine("the servers' port")))
    var model = model(port: port)
    let server = try XDSServer(model) { _ in .pod("client") }
    defer { server.stop() }
    try server.listen(unix: socket)
    _ = try client.ask("open")

    // Both versions have a share of the service: equal, as there are as many of each; six standard deviations are 30.
    #expect(try client.ask("await Name v1 1") == "True")
    #expect(try client.ask("await Name v2 1") == "True")
    let both = counts(try client.ask("call Name 100"))
    #expect((20...80).contains(both["v1"] ?? 0) && both["v1", default: 0] + both["v2", default: 0] == 100)

    var outcome = try await server.split("web", ["v1": 0, "v2": 100])
    #expect(outcome.current == 1 && outcome.isLive)
    #expect(try client.ask("await Name v2 20") == "True")
    #expect(counts(try client.ask("call Name 50")) == ["v2": 50])
    outcome = try await server.split("web", ["v1": 80, "v2": 20])
    #expect(try client.ask("await Name v1 1") == "True")
    // 1,000 calls at 80 %: six standard deviations are 76.
    let split = counts(try client.ask("call Name 1000"))
    #expect((724...876).contains(split["v1"] ?? 0))
    #expect((split["v1"] ?? 0) + (split["v2"] ?? 0) == 1000)

    // Nearer by BGP: the other stands by, and takes over when the near one is lost.
    model.pathCosts["client", ASNumber(65001)] = 1
    model.pathCosts["client", ASNumber(65002)] = 3
    _ = try await server.apply(model)
    #expect(try client.ask("await Name v1 20") == "True")
    #expect(counts(try client.ask("call Name 50")) == ["v1": 50])
    model.pods[0].health = .unhealthy
    _ = try await server.apply(model)
    #expect(try client.ask("await Name v2 20") == "True")
    #expect(counts(try client.ask("call Name 50")) == ["v2": 50])
    model.pods[0].health = .healthy
    _ = try await server.apply(model)

    // A method of its own.
    var rule = RouteRule()
    var match = RequestMatch()
    match.path = .grpc(service: "test.Echo", method: "Other")
    rule.matches = [match]
    rule.backends = [Backend(cluster: "web-v2")]
    var rest = RouteRule()
    rest.backends = [Backend(cluster: "web-v1")]
    model.routes = [MeshRoute(kind: .grpc, name: "r", services: ["web"], rules: [rest, rule])]
    outcome = try await server.apply(model)
    #expect(outcome.isLive)
    #expect(try client.ask("await Other v2 20") == "True")
    #expect(counts(try client.ask("call Other 20")) == ["v2": 20])
    #expect(try client.ask("await Name v1 20") == "True")
    #expect(counts(try client.ask("call Name 20")) == ["v1": 20])

    // An expression that is none: refused with a reason, and what stood goes on.
    model.routes[0].rules[1].matches[0].path = .regularExpression("(")
    outcome = try await server.apply(model)
    #expect(outcome.refused.map(\.type) == [.routes])
    #expect(outcome.refused.first?.reason.isEmpty == false)
    #expect(counts(try client.ask("call Other 20")) == ["v2": 20])
    let status = await server.status()
    #expect(status.map(\.pod) == ["client"])
    #expect(status.first?.state == .refused)
  }
}
