import Mesh
import MeshControl
import Testing

/// gRPC's own client and server with two sidecars between them that know all they do from the control plane.
@Suite(.serialized) struct GRPCEndToEndTests {
  private static let everybody: Set = ["web-a", "client-1"]

  private func model(_ scene: Scene, _ port: UInt16) -> MeshModel {
    var model = scene.model()
    model.services[0].port = port
    model.services[0].targetPort = port
    model.services[0].protocol = .grpc
    model.pods.removeAll { $0.name == "web-b" }
    return model
  }

  private func pods(_ scene: Scene) throws -> [RunningPod] {
    try [
      RunningPod("web-a", scene.path, inbound: scene.address(11)),
      RunningPod("client-1", scene.path, inbound: scene.address(13), isClient: true),
    ]
  }

  @Test("Every kind of call passes with mutual TLS: trailers, streams, deadlines, cancellation, refusals")
  func calls() async throws {
    guard let python = GRPCProgram.python else { return print("skipped: grpcio is not installed") }
    let program = try GRPCProgram(python)
    let scene = try Scene()
    let model = model(scene, program.port)
    let server = try scene.server(model)
    let pods = try pods(scene)
    #expect(try await server.ready(Self.everybody).isLive, "\(pods.map(\.reports))")
    #expect(try program.ask("open \(scene.net).1:\(program.port)") == "opened")
    #expect(try program.ask("unary 5") == "5 early=me length=5")
    #expect(try program.ask("unary 3000000") == "3000000 early=me length=3000000")
    #expect(try program.ask("fail") == "NOT_FOUND nothing here: 100 % length=4")
    #expect(try program.ask("count 500") == "5000000")
    #expect(try program.ask("echo 50") == "messages=50")
    #expect(try program.ask("deadline") == "DEADLINE_EXCEEDED, cancelled")
    #expect(try program.ask("cancel") == "CANCELLED, cancelled")
    // Nobody may call any more; the connection stays and the next call follows the new rule.
    var closed = model
    closed.authorization = [AuthorizationRule(to: "web", allow: ["somebody"])]
    #expect(try await server.apply(closed).isLive)
    #expect(
      try program.ask("refused")
        == "PERMISSION_DENIED web-a/inbound; not-authorized identity=spiffe://lab/ns/default/sa/client-1 service=web")
    var lost = model
    lost.pods[0].health = .draining
    let outcome = try await server.apply(lost)
    #expect(outcome.isLive)
    let refused = try program.ask("refused")
    #expect(
      refused.hasPrefix(
        "UNAVAILABLE client-1/outbound; no-healthy-endpoint service=web cluster=web version=\(outcome.generation)."),
      "\(refused)")
    #expect(try await server.apply(model).isLive)
    #expect(try program.ask("unary 7") == "7 early=me length=7")
    // One connection between the sidecars has carried all of it.
    #expect(pods[1].connectionsOpened == 1)
    for pod in pods { pod.stop() }
    server.stop()
  }
}
