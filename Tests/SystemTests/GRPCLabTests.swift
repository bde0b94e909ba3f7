import Foundation
import Testing

/// Real gRPC programs (PyPI grpcio) in the pods of a lab, behind Netloom's sidecar and behind Envoy.
@Suite(.serialized) struct GRPCLabTests {
  private static let python: String? = {
    let named = ProcessInfo.processInfo.environment["NETLOOM_XDS_PYTHON"]
    let own = "\(Command.checkout)/.build/xds-clients/bin/python"
    for path in [named, own].compactMap({ $0 }) {
      if let run = try? Command.run(path, ["-c", "import grpc"]), run.exit == 0 { return path }
    }
    return nil
  }()

  private static var hasEnvoy: Bool { (try? Command.run("envoy", ["--version"]))?.exit == 0 }

  private static let program = #"""
    """grpc_pod.py serve PORT | call TARGET NAME..."""
    import os, sys, time
    from concurrent import futures
    import grpc

    def serve(port):
        name = os.environ["NETLOOM_NODE"].encode()

        def each(requests, context):
            for request in requests:
                yield name
            context.set_trailing_metadata((("done", "yes"),))

        server = grpc.server(futures.ThreadPoolExecutor(8))
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {
            "Name": grpc.unary_unary_rpc_method_handler(lambda request, context: name),
            "Each": grpc.stream_stream_rpc_method_handler(each)})])
        server.add_insecure_port(f"0.0.0.0:{port}")
        server.start()
        server.wait_for_termination()

    def call(target, wanted):
        channel = grpc.insecure_channel(target)
        missing, end = set(wanted), time.monotonic() + 20
        while missing and time.monotonic() < end:
            try:
                missing.discard(channel.unary_unary("/test.Echo/Name")(b"", timeout=5).decode())
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
        answers = channel.stream_stream("/test.Echo/Each")(iter([b""] * 20), timeout=10)
        count = len(list(answers))
        print(sorted(missing), count, dict(answers.trailing_metadata())["done"])

    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        call(sys.argv[2], sys.argv[3:])
    """#

  @Test("gRPC calls and streams pass between pods, encrypted, whichever sidecar is at either end")
  func calls() throws {
    guard let python = Self.python else { return print("skipped: grpcio is not installed") }
    let bench = try Bench()
    let program = try bench.file("grpc_pod.py", Self.program)
    let other = Self.hasEnvoy ? "envoy" : "netloom"
    let lab = "grpc-\(UInt32.random(in: 0..<100_000))"
    _ = try bench.up(
      lab,
      """
      addressing: {ipv6: false}
      topology:
        nodes:
          client: {kind: pod, service: shop}
          caller: {kind: pod, service: shop, sidecar: \(other), cmd: ["sleep infinity"]}
          stranger: {kind: pod, cmd: ["sleep infinity"]}
          edge: {kind: router, asn: 64500}
          web-1: {kind: pod, service: web, sidecar: \(other), cmd: ["\(python) \(program) serve 50051"]}
          web-2: {kind: pod, service: web, cmd: ["\(python) \(program) serve 50051"]}
        links:
          - {endpoints: ["client:eth1", "edge:eth1"], addresses: [[10.1.0.2/24], [10.1.0.1/24]]}
          - {endpoints: ["edge:eth2", "web-1:eth1"], addresses: [[10.2.0.1/24], [10.2.0.2/24]]}
          - {endpoints: ["edge:eth3", "web-2:eth1"], addresses: [[10.3.0.1/24], [10.3.0.2/24]]}
          - {endpoints: ["caller:eth1", "edge:eth4"], addresses: [[10.4.0.2/24], [10.4.0.1/24]]}
          - {endpoints: ["stranger:eth1", "edge:eth5"], addresses: [[10.5.0.2/24], [10.5.0.1/24]]}
      mesh:
        mtls: strict
        services:
          shop: {port: 8000, protocol: http}
          web: {port: 80, target: 50051, protocol: grpc}
        authorization: [{to: web, allow: [shop]}]
      """)
    func call(_ node: String, _ names: String...) throws -> Finished {
      // The C core's own resolver asks name servers only; a lab's names stand in /etc/hosts.
      try bench.netloom(
        ["exec", "--lab", lab, node, "--", "env", "GRPC_DNS_RESOLVER=native", python, program, "call", "web:80"]
          + names,
        seconds: 60)
    }
    for node in ["client", "caller"] {
      let answer = try call(node, "web-1", "web-2")
      #expect(answer.output == "[] 20 yes\n", "\(node): \(answer.output)\(answer.errors)")
    }
    let refused = try call("stranger", "web-1")
    #expect(refused.exit != 0 && refused.errors.contains("StatusCode.PERMISSION_DENIED"), "\(refused.errors)")
  }
}
