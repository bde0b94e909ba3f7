import Foundation
import Testing

@Suite(.serialized) struct PublishTests {
  private func lab(_ port: Int) -> String {
    """
    topology:
      nodes:
        web: {kind: host, publish: ["\(port):80"], cmd: ["python3 -m http.server 80"], exec: ["echo reached > index.html"]}
        r: {kind: router}
      links: [{endpoints: ["web:eth1", "r:eth1"]}]

    """
  }

  private func check(_ bench: Bench, _ name: String) throws {
    let port = 20_000 + Int(getpid()) % 20_000
    _ = try bench.up(name, lab(port))
    let reached = try bench.eventually(15) {
      try Command.shell("curl -s --max-time 2 http://127.0.0.1:\(port)/ | grep -q .").exit == 0
    }
    #expect(reached)
    let second = try bench.file("second.yaml", "name: \(name)-2\n" + lab(port))
    let taken = try bench.netloom(["up", second])
    #expect(taken.exit == 3 && taken.errors.contains("\(port)"), "\(taken.errors)")
    #expect(try bench.netloom(["down", "--lab", name]).exit == 0)
    #expect(
      try bench.eventually(5) { try Command.shell("curl -s --max-time 1 http://127.0.0.1:\(port)/").exit == 7 })
  }

  @Test("a port of the machine's loopback reaches into a node", .enabled(if: Command.isRoot, "the part for root"))
  func asRoot() throws { try check(try Bench(), "pub-root-\(getpid())") }

  @Test("it does so for an ordinary user")
  func asOrdinaryUser() throws { try check(try Bench(ordinary: true), "pub-user-\(getpid())") }
}
