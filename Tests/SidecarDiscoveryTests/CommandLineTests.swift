import Testing

@testable import Sidecar

struct CommandLineTests {
  @Test("The control plane's socket may be written as gRPC writes it")
  func modes() throws {
    let mode = try DiscoveryMode(["--node", "web-1", "--xds", "unix:/run/netloom/xds.sock", "--workers", "2"])
    #expect(mode.node == "web-1")
    #expect(mode.socket == "/run/netloom/xds.sock")
    #expect(mode.workers == 2)
    #expect(mode.admin.description == "127.0.0.1:15000")
    #expect(try DiscoveryMode(["--xds", "/x", "--node", "a", "--admin", "[::1]:9"]).admin.description == "[::1]:9")
  }

  @Test(arguments: [
    ["--node", "a"], ["--xds", "/x"], ["--node", "a", "--xds"], ["--node", "a", "--xds", "/x", "--workers", "0"],
    ["--node", "a", "--xds", "/x", "--listen", "127.0.0.1:1"], ["--node", "a", "--xds", "/x", "--admin", "here"],
  ]) func mistakes(_ arguments: [String]) {
    #expect(throws: StaticMode.UsageError.self) { try DiscoveryMode(arguments) }
  }
}
